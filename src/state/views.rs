use super::view::SubsystemView;
use std::sync::Arc;

/// The index of a subsystem's view. A slot is reused after its subsystem has
/// retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) usize);

/// The number of children of a tree node. At 32, the nodes that a report copies
/// stay small for a few views and for 50,000.
const WIDTH: usize = 32;

type Leaf = [Option<Arc<SubsystemView>>; WIDTH];
type Branch = [Option<Arc<Leaf>>; WIDTH];

/// The views of all subsystems, as a tree. Clones share every branch; setting
/// one view copies only its branch and its leaf. Nodes without a view are
/// dropped, so that a registry that has shrunk costs as little as a small one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views(Vec<Option<Arc<Branch>>>);

impl Slot {
    /// The indices of its branch, of the leaf in the branch, and of the view in
    /// the leaf.
    fn path(self) -> [usize; 3] {
        [
            self.0 / (WIDTH * WIDTH),
            self.0 / WIDTH % WIDTH,
            self.0 % WIDTH,
        ]
    }
}

impl Views {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Arc<SubsystemView>> {
        let [branch, leaf, index] = slot.path();
        self.0.get(branch)?.as_ref()?[leaf].as_ref()?[index].as_ref()
    }

    pub(crate) fn set(&mut self, slot: Slot, view: Option<Arc<SubsystemView>>) {
        let [at_branch, at_leaf, index] = slot.path();
        let is_vacated = view.is_none();
        if at_branch >= self.0.len() {
            self.0.resize(at_branch + 1, None);
        }
        let branch = Arc::make_mut(self.0[at_branch].get_or_insert_default());
        let leaf = Arc::make_mut(branch[at_leaf].get_or_insert_default());
        leaf[index] = view;
        if is_vacated && leaf.iter().all(Option::is_none) {
            branch[at_leaf] = None;
            if branch.iter().all(Option::is_none) {
                self.0[at_branch] = None;
                let used = self.0.iter().rposition(Option::is_some);
                self.0.truncate(used.map_or(0, |last| last + 1));
                self.0.shrink_to_fit();
            }
        }
    }

    /// The views in the first `slots` slots.
    #[cfg(feature = "metrics")]
    pub(crate) fn first(&self, slots: usize) -> impl Iterator<Item = &Arc<SubsystemView>> {
        let present = self.0.len() * WIDTH * WIDTH;
        (0..slots.min(present)).filter_map(|slot| self.get(Slot(slot)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<SubsystemView>> {
        let branches = self.0.iter().flatten();
        let leaves = branches.flat_map(|branch| branch.iter().flatten());
        leaves.flat_map(|leaf| leaf.iter().flatten())
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    #[test]
    fn the_tree_shrinks_and_keeps_the_other_views() {
        let readiness = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = readiness.build().unwrap();
        let view = readiness
            .registry()
            .read(|data| data.views.get(Slot(0)).cloned());
        let slots = [0, 31, 32, 1_024, 5_000].map(Slot);
        let mut views = Views::default();
        for slot in slots {
            views.set(slot, view.clone());
        }
        assert_eq!(views.0.len(), 5);
        // How many branches are left without this slot and those after it.
        for (index, branches) in [0, 1, 1, 1, 2].into_iter().enumerate().rev() {
            views.set(slots[index], None);
            let present = slots.iter().filter(|slot| views.get(**slot).is_some());
            assert!(present.eq(&slots[..index]), "{index}");
            assert_eq!(views.0.len(), branches, "{index}");
        }
    }
}
