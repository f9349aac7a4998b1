use std::{collections::HashMap, hash::Hash};

/// The capacity of a map that is left as it is.
const SMALL: usize = 32;

/// Shrinks a map that is less than a quarter full, since iterating over a map takes
/// time in proportion to its capacity.
///
/// A map keeps twice its length or the next power of two, so that a few inserts and
/// removals do not reallocate it each time.
pub(super) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    map.shrink_to(SMALL.max(2 * map.len()));
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_map_shrinks_and_keeps_some_capacity() {
        let mut map: HashMap<usize, usize> = (0..10_000).map(|key| (key, key)).collect();
        map.retain(|key, _| *key < 5_000);
        shrink(&mut map);
        assert!(map.capacity() >= 10_000, "half of them may come back");
        map.retain(|key, _| *key < 100);
        shrink(&mut map);
        assert!((200..1_000).contains(&map.capacity()));
        map.clear();
        shrink(&mut map);
        assert!((SMALL..100).contains(&map.capacity()));
    }
}
