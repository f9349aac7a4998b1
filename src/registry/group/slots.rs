/// A set of slots, one bit each.
#[derive(Default)]
pub(super) struct Slots(Vec<u64>);

const BITS: usize = u64::BITS as usize;

/// How many words one search reads at most, so that a search among a million members
/// holds the lock no longer than one among 65,536.
const WORDS: usize = 1_024;

impl Slots {
    pub(super) fn insert(&mut self, slot: usize) {
        let word = slot / BITS;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % BITS);
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.0[slot / BITS] &= !(1 << (slot % BITS));
    }
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Found(usize),
    /// No slot up to this one is in a set; the search goes on there.
    Further(usize),
    End,
}

/// Searches the first slot from `from` on that is in one of the sets.
pub(super) fn search<'a>(sets: impl Iterator<Item = &'a Slots> + Clone, from: usize) -> Search {
    let end = sets.clone().map(|set| set.0.len()).max().unwrap_or(0);
    let first = from / BITS;
    for word in first..end.min(first.saturating_add(WORDS)) {
        let bits = sets.clone().filter_map(|set| set.0.get(word));
        let mut bits = bits.fold(0, |all, bits| all | bits);
        if word == first {
            bits &= u64::MAX << (from % BITS);
        }
        if bits != 0 {
            return Search::Found(word * BITS + bits.trailing_zeros() as usize);
        }
    }
    match first.saturating_add(WORDS) {
        next if next < end => Search::Further(next * BITS),
        _ => Search::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_next_slot_of_any_set() {
        let mut sets = [Slots::default(), Slots::default()];
        sets[0].insert(3);
        sets[1].insert(64);
        sets[0].insert(200);
        let find = |from| search(sets.iter(), from);
        assert_eq!(find(0), Search::Found(3));
        assert_eq!(find(3), Search::Found(3));
        assert_eq!(find(4), Search::Found(64));
        assert_eq!(find(65), Search::Found(200));
        assert_eq!(find(201), Search::End);
        assert_eq!(find(usize::MAX), Search::End);
        assert_eq!(search(sets[..1].iter(), 4), Search::Found(200));
        sets[1].insert(200);
        assert_eq!(search(sets.iter(), 65), Search::Found(200), "of both sets");
        sets[1].remove(200);
        sets[0].remove(200);
        assert_eq!(search(sets.iter(), 65), Search::End);
    }

    #[test]
    fn a_long_search_pauses() {
        let mut set = Slots::default();
        let last = BITS * WORDS + 5;
        set.insert(last);
        let find = |from| search(std::iter::once(&set), from);
        assert_eq!(find(0), Search::Further(BITS * WORDS));
        assert_eq!(find(BITS * WORDS), Search::Found(last));
        let mut set = Slots::default();
        set.insert(BITS * WORDS - 1);
        set.remove(BITS * WORDS - 1);
        assert_eq!(search(std::iter::once(&set), 0), Search::End);
    }
}
