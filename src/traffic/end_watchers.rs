use std::sync::Arc;

/// Counts the connections whose client waits for the end of the process: each has
/// a clone until it ends.
///
/// The process waits a moment at its end, so that these clients read its last
/// answer. As the first process of a container its exit kills the client too, and
/// a command about to report success would count as failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndWatchers(Arc<()>);

impl EndWatchers {
    pub(crate) fn is_empty(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
