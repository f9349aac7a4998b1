use std::{collections::HashMap, hash::Hash};

/// Maps of less than this many entries are not worth the work.
const SMALL: usize = 64;

/// Gives back the room of entries that have left. A map is walked over in the
/// time that its room takes, however few entries are left.
///
/// It leaves room for twice as many, so that entries that come and go do not
/// make the map move each time.
pub(super) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_and_some_is_kept() {
        let mut map: HashMap<usize, usize> = (0..10_000).map(|key| (key, key)).collect();
        map.retain(|key, _| *key < 5_000);
        shrink(&mut map);
        assert!(map.capacity() >= 10_000, "half of them may come back");
        map.retain(|key, _| *key < 100);
        shrink(&mut map);
        assert!((200..1_000).contains(&map.capacity()));
        map.clear();
        shrink(&mut map);
        assert!(map.capacity() < SMALL);
    }
}
