use super::{
    error::ShutdownTimeout,
    output::ServerOutput,
    wait::{self, Over},
};
use crate::{
    race::{First, race},
    registry::Readiness,
    state::Phase,
};
use std::{future::IntoFuture, pin::pin};

/// How long the end of a process waits for the lines that are not in the log
/// yet.
#[cfg(feature = "tracing")]
const FLUSH: std::time::Duration = std::time::Duration::from_millis(100);

impl Readiness {
    /// Runs a server to its end, or until its time is over.
    ///
    /// A shutdown signal asks a server to end. It cannot make it, so that one
    /// client with an endless stream holds up the process until it is killed.
    /// This gives up on the server when the
    /// [cap](super::ShutdownBuilder::closing_cap) of the
    /// [`Shutdown`](super::Shutdown) is over: it is dropped then, and so are
    /// its connections as far as it owns them. (axum and tonic spawn theirs,
    /// which end with the runtime.)
    ///
    /// A server ends without waiting for what it has let go of: upgraded
    /// connections, and jobs that were [tracked](Readiness::track). If the
    /// process drains, this waits for them too, until the cap; then the process
    /// is [closed](Phase::Closed). A server that ends by itself leaves the phase as
    /// it is, for it may be run again. In both cases this blocks its thread until
    /// the last lines are in the log, for at most 100 milliseconds. Several servers
    /// are run together, as one future (`async { tokio::join!(one, other) }`).
    ///
    /// When all of that is over, clients that wait for the end of the process by
    /// `readiness drain --wait`, over the admin listener, have a second to read of
    /// it and to exit: in a container they are killed with its first process.
    ///
    /// Without a `Shutdown` there is no cap: what is in flight is waited for,
    /// however long it takes.
    ///
    /// # Idle connections
    ///
    /// A server ends when its last connection does, and a client that has sent
    /// half a request, an HTTP/2 peer that vanished or one that never spoke can
    /// keep its connection for ever. Where a layer
    /// [counts](crate::ReadinessLayer::count_in_flight), the process is known to
    /// have nothing in flight: after a second of that it is closed, and when the
    /// [grace](super::ShutdownBuilder::idle_grace) is over too, this lets go of
    /// the server. That is a success. What the server would have returned is
    /// then not known, so its type has to have a value for it (`()`, `Ok(())`,
    /// `None`); see [`ServerOutput`]. Where no layer counts, this cannot know
    /// whether a connection is idle, and gives up at the cap. Where one does, a
    /// request that passes by it (on another route, or in another server) is not
    /// known of, and is cut off with its server: let all of them pass a layer that
    /// counts, or [track](Readiness::track) them.
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
    /// [`ShutdownTimeout`] when something was in flight at the cap, or, where no layer
    /// counts, when the server had not ended. (If it had, and what it left
    /// behind was cut off, what it returned is lost.)
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the server.
    pub async fn run<S>(&self, server: S) -> Result<S::Output, ShutdownTimeout>
    where
        S: IntoFuture,
        S::Output: ServerOutput,
    {
        let mut over = pin!(wait::over(self));
        let output = match race(server.into_future(), over.as_mut()).await {
            First::Left(output) => output,
            First::Right(Over::Idle) => {
                log_idle_connections();
                self.close_last().await;
                return Ok(S::Output::let_go());
            }
            First::Right(Over::ShutdownTimeout(in_flight)) => {
                self.close_last().await;
                return Err(ShutdownTimeout {
                    in_flight,
                    server_ended: false,
                });
            }
        };
        if self.verdict().phase() < Phase::Draining {
            flush_log();
            return Ok(output);
        }
        self.advance_at_once(Phase::Closing);
        let waited = race(wait::left_behind(self), over).await;
        self.close_last().await;
        match waited {
            First::Right(Over::ShutdownTimeout(in_flight)) => Err(ShutdownTimeout {
                in_flight,
                server_ended: true,
            }),
            First::Left(()) | First::Right(Over::Idle) => Ok(output),
        }
    }

    async fn close_last(&self) {
        self.advance_at_once(Phase::Closed);
        wait::end_watchers(self).await;
        flush_log();
    }
}

/// The process may end now, and the thread that writes the log with it.
fn flush_log() {
    #[cfg(feature = "tracing")]
    crate::logging::flush(FLUSH);
}

#[cfg(feature = "tracing")]
fn log_idle_connections() {
    crate::logging::line(tracing::Level::INFO, || {
        |span| {
            crate::logging::event!(
                info,
                span,
                "nothing is in flight: the server ends with its idle connections open"
            );
        }
    });
}

#[cfg(not(feature = "tracing"))]
fn log_idle_connections() {}

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
        let watchers = [(); 2].map(|()| readiness.registry().traffic().end_watchers.add());
        let mut run = task::spawn(readiness.run(ready(())));
        assert_pending!(run.poll());
        assert_eq!(readiness.verdict().phase(), Phase::Closed, "they are told");
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
        let _stuck = readiness.registry().traffic().end_watchers.add();
        readiness.run(ready(())).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert!(begun.elapsed() < Duration::from_millis(1_050));
    }
}
