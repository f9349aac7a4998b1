use super::{
    close::{end_watchers, finish, give_up},
    error::ShutdownTimeout,
    output::ServerOutput,
};
use crate::{registry::Readiness, state::Phase};
use std::future::IntoFuture;

/// How long [`flush_log`] waits for lines that are not written yet.
#[cfg(feature = "tracing")]
const FLUSH: std::time::Duration = std::time::Duration::from_millis(100);

impl Readiness {
    /// Runs a server until it ends, or drops it at the closing cap.
    ///
    /// A shutdown signal only asks a server to end, so one client with an endless
    /// stream holds up the process until it is killed. `run` drops the server at
    /// the [cap](super::ShutdownBuilder::closing_cap) of the
    /// [`Shutdown`](super::Shutdown), with the connections that the server owns.
    /// (axum and tonic spawn a task for each connection; these end with the
    /// runtime.)
    ///
    /// A server does not wait for upgraded connections and
    /// [tracked](Readiness::track) jobs. If the process drains, `run` waits for
    /// them too, until the cap, and then [closes](Phase::Closed) the process. A
    /// server that ends by itself leaves the phase as it is, because the program
    /// may run it again. In both cases `run` blocks its thread until the last
    /// lines are in the log, for at most 100 milliseconds. Run several servers
    /// together, as one future (`async { tokio::join!(one, other) }`).
    ///
    /// At last, `run` gives the clients that wait with `readiness drain --wait`
    /// on the admin listener a second to read the answer and to exit: in a
    /// container the kernel kills them together with its first process.
    ///
    /// Without a `Shutdown` there is no cap: `run` waits for the work in flight,
    /// however long it takes.
    ///
    /// # Idle connections
    ///
    /// A server ends when its last connection does. A client that has sent half a
    /// request, or an HTTP/2 peer that vanished or never sent anything, can keep
    /// its connection open for ever. If a layer
    /// [counts](crate::ReadinessLayer::count_in_flight), `run` knows when nothing
    /// is in flight: it closes the process after a second of that, and after the
    /// [grace](super::ShutdownBuilder::idle_grace) it drops the server. This is a
    /// success. The output of the server is then unknown, so its type must have a
    /// value for this case (`()`, `Ok(())`, `None`); see [`ServerOutput`].
    ///
    /// If no layer counts, `run` cannot know whether a connection is idle, and
    /// drops the server at the cap. If a layer counts, but a request passes no
    /// such layer (on another route, or in another server), the request is not
    /// counted and is cut off with its server: route all requests through a layer
    /// that counts, or [track](Readiness::track) them.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tower_readiness::{Readiness, Subsystem};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// # let listener = tokio::net::TcpListener::bind("[::]:3000").await?;
    /// # let app = axum::Router::new();
    /// # #[cfg(feature = "signal")]
    /// let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    /// # #[cfg(not(feature = "signal"))]
    /// # let shutdown = readiness.shutdown().build()?;
    /// let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    /// readiness.run(server).await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ShutdownTimeout`] when work was in flight at the cap, or, if no layer
    /// counts, when the server had not ended. (If the server had ended and its
    /// upgraded connections or jobs were cut off, its output is lost.)
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server.
    pub async fn run<S>(&self, server: S) -> Result<S::Output, ShutdownTimeout>
    where
        S: IntoFuture,
        S::Output: ServerOutput,
    {
        let registry = self.registry();
        let (outcome, ends) = tokio::select! { biased;
            output = server.into_future() => {
                let ends = self.verdict().phase() >= Phase::Draining;
                let finished = if ends { finish(registry).await } else { Ok(()) };
                (finished.map(|()| output), ends)
            }
            gave_up = give_up(self) => {
                if gave_up.is_ok() {
                    crate::log::line!(
                        info, "idle_connections_dropped", {},
                        "nothing is in flight: the server is dropped with its idle connections open"
                    );
                }
                (gave_up.map(|()| S::Output::let_go()), true)
            }
        };
        if ends {
            end_watchers(registry).await;
        }
        flush_log();
        outcome
    }
}

/// Waits for the log thread: after `run` the process may exit, and its
/// unwritten lines would be lost.
fn flush_log() {
    #[cfg(feature = "tracing")]
    crate::logging::flush(FLUSH);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Subsystem;
    use std::future::ready;
    use tokio::time::{Duration, Instant, advance};
    use tokio_test::{assert_pending, assert_ready, task};

    fn closing() -> Readiness {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        readiness.advance(Phase::Closing);
        readiness
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_wait_for_the_end_are_gone_before_it() {
        let readiness = closing();
        let watchers = [(); 2].map(|()| readiness.registry().traffic().end_watchers.clone());
        let mut run = task::spawn(readiness.run(ready(())));
        assert_pending!(run.poll());
        assert_eq!(
            readiness.verdict().phase(),
            Phase::Closed,
            "they can read it"
        );
        advance(Duration::from_millis(500)).await;
        assert_pending!(run.poll());
        drop(watchers);
        advance(Duration::from_millis(11)).await;
        assert_ready!(run.poll()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_do_not_go_hold_up_the_end_for_a_second() {
        let readiness = closing();
        let begun = Instant::now();
        let _stuck = readiness.registry().traffic().end_watchers.clone();
        readiness.run(ready(())).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert!(begun.elapsed() < Duration::from_millis(1_050));
    }
}
