use super::view::SubsystemView;
use std::sync::Arc;

/// Where a subsystem's view stands. A slot is reused after its subsystem has
/// retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(pub(crate) usize);

/// The fewer views a chunk holds, the more chunks the next snapshot has to
/// share with this one; at 32, both stay small up to about 10,000 subsystems.
const CHUNK: usize = 32;

type Chunk = [Option<Arc<SubsystemView>>; CHUNK];

/// The views of all subsystems. Cloning shares every chunk; setting one view
/// copies the chunk it stands in and nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views(Vec<Arc<Chunk>>);

impl Views {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Arc<SubsystemView>> {
        self.0.get(slot.0 / CHUNK)?[slot.0 % CHUNK].as_ref()
    }

    pub(crate) fn set(&mut self, slot: Slot, view: Option<Arc<SubsystemView>>) {
        let chunk = slot.0 / CHUNK;
        if chunk >= self.0.len() {
            self.0.resize_with(chunk + 1, Arc::default);
        }
        Arc::make_mut(&mut self.0[chunk])[slot.0 % CHUNK] = view;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<SubsystemView>> {
        self.0.iter().flat_map(|chunk| chunk.iter().flatten())
    }
}
