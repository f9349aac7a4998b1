use std::sync::Arc;

/// Counts the connections whose client waits for the end of the process.
///
/// The process gives them a moment to read that it has come: where it is the
/// first process of a container, its end kills the client too, and a command that
/// was about to say that all went well would count as failed.
#[derive(Debug, Default)]
pub(crate) struct EndWatchers(Arc<()>);

/// One of them, until it is dropped: with the connection, and not before.
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
