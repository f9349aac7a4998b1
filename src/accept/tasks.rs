use super::listener::{Listener, poll_accept};
#[cfg(feature = "serve")]
use std::task::Poll;
use std::{
    future::{pending, poll_fn},
    io,
};
#[cfg(feature = "serve")]
use tokio::task::yield_now;
use tokio::{
    task::JoinSet,
    time::{Duration, sleep},
};

/// How long to wait when the system has no descriptor or memory for a connection.
/// Less than the second that a kubelet waits for an answer.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// The tasks of the connections of one listener. Dropping it drops the connections.
pub(crate) struct ConnectionTasks<R> {
    /// The listener, in log lines.
    name: &'static str,
    tasks: JoinSet<R>,
    /// Whether a failure was logged since the last successful accept.
    is_exhausted: bool,
}

/// What happened to the connections of a listener.
pub(crate) enum AcceptEvent<C, R> {
    /// A new connection.
    Accepted(C),
    /// A connection ended, with the output of its task, unless that panicked.
    Ended(Option<R>),
    /// The system could not accept.
    Failed(io::Error),
}

impl<R: Send + 'static> ConnectionTasks<R> {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            tasks: JoinSet::new(),
            is_exhausted: false,
        }
    }

    /// Serves a connection in a task of its own.
    pub(crate) fn spawn(&mut self, connection: impl Future<Output = R> + Send + 'static) {
        self.tasks.spawn(connection);
    }

    #[cfg(feature = "server")]
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Accepts one connection, or returns the end of one. Cancel safe.
    pub(crate) async fn next<L: Listener>(
        &mut self,
        listener: &mut L,
    ) -> AcceptEvent<L::Connection, R> {
        tokio::select! { biased;
            ended = self.next_ended() => AcceptEvent::Ended(ended),
            accepted = poll_fn(|cx| poll_accept(listener, cx)) => match accepted {
                Ok(connection) => {
                    self.is_exhausted = false;
                    AcceptEvent::Accepted(connection)
                }
                Err(error) => AcceptEvent::Failed(error),
            },
        }
    }

    /// Accepts one connection while there are less than `max`. Returns `None` when a
    /// connection has ended, or after a failure and its delay. When the system cannot
    /// accept, `free` may end connections. Cancel safe.
    #[cfg(feature = "serve")]
    pub(crate) async fn accept<L: Listener>(
        &mut self,
        listener: &mut L,
        max: usize,
        free: impl FnOnce(),
    ) -> Option<L::Connection> {
        if self.tasks.len() >= max {
            self.next_ended().await;
            return None;
        }
        match self.next(listener).await {
            AcceptEvent::Accepted(connection) => return Some(connection),
            AcceptEvent::Ended(_) => {}
            AcceptEvent::Failed(error) => {
                free();
                self.back_off(&error).await;
            }
        }
        None
    }

    /// Accepts one connection that the listener has already, while there are less than
    /// `max`. Returns `None` also when the system cannot accept.
    #[cfg(feature = "serve")]
    pub(crate) async fn accept_ready<L: Listener>(
        &mut self,
        listener: &mut L,
        max: usize,
    ) -> Option<L::Connection> {
        if !tokio::task::coop::has_budget_remaining() {
            // Without a budget, every resource of tokio is pending.
            yield_now().await;
        }
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= max {
            return None;
        }
        match poll_fn(|cx| Poll::Ready(poll_accept(listener, cx))).await {
            Poll::Ready(Ok(connection)) => return Some(connection),
            Poll::Ready(Err(error)) => self.log_failure(&error),
            Poll::Pending => {}
        }
        None
    }

    /// Returns the output of the next connection that ends, unless its task has
    /// panicked. Pending while there are no connections.
    pub(crate) async fn next_ended(&mut self) -> Option<R> {
        match self.tasks.join_next().await {
            Some(ended) => ended.ok(),
            None => pending().await,
        }
    }

    /// Logs the first of several errors.
    fn log_failure(&mut self, error: &io::Error) {
        if !self.is_exhausted {
            self.is_exhausted = true;
            crate::log::line!(
                warn, "accept_failed", { listener: self.name, error: error.to_string() },
                %error, "{listener} cannot accept"
            );
        }
    }

    /// Waits until a connection ends, for [`BACK_OFF`] at most, and returns its output
    /// as [`next_ended`](Self::next_ended) does. Logs the first of several errors.
    pub(crate) async fn back_off(&mut self, error: &io::Error) -> Option<R> {
        self.log_failure(error);
        tokio::select! { biased;
            ended = self.next_ended() => ended,
            () = sleep(BACK_OFF) => None,
        }
    }

    /// Waits for the last connection to end.
    pub(crate) async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
