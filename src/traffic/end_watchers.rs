use std::sync::Arc;

/// Counts the connections whose client waits for the end of the process.
///
/// The process waits a moment at its end, so that these clients read its last
/// answer. As the first process of a container its exit kills the client too, and
/// a command about to report success would count as failed.
#[derive(Debug, Default)]
pub(crate) struct EndWatchers(Arc<()>);

/// Counts one connection until it is dropped, which happens with the connection.
#[cfg(any(test, all(unix, feature = "server")))]
#[derive(Debug)]
pub(crate) struct EndWatcher {
    _counted: Arc<()>,
}

impl EndWatchers {
    #[cfg(any(test, all(unix, feature = "server")))]
    pub(crate) fn add(&self) -> EndWatcher {
        EndWatcher {
            _counted: Arc::clone(&self.0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
