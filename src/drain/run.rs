use super::{error::CutOff, wait};
use crate::{
    race::{First, race},
    report::Readiness,
    state::Phase,
};
use std::future::IntoFuture;

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
    /// is [closed](Phase::Closed). A server that ends by itself leaves the phase
    /// as it is, for it may be run again. Several are run together, as one
    /// future (`async { tokio::join!(one, other) }`).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tower_readiness::{Readiness, Subsystem};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// # let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
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
    /// When the server, or what it left behind, was given up on. (What the
    /// server returned is lost in the second case.)
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the server.
    pub async fn run<S: IntoFuture>(&self, server: S) -> Result<S::Output, CutOff> {
        let server = async {
            let output = server.into_future().await;
            if self.verdict().phase() >= Phase::Draining {
                self.advance(Phase::Closing);
                wait::left_behind(self).await;
            }
            output
        };
        let cut_off = async {
            wait::cut_off(self).await;
            // Counted before the server is dropped, and its requests with it.
            self.in_flight()
        };
        let outcome = race(server, cut_off).await;
        if self.verdict().phase() >= Phase::Draining {
            self.advance(Phase::Closed);
        }
        match outcome {
            First::Left(output) => Ok(output),
            First::Right(in_flight) => Err(CutOff { in_flight }),
        }
    }
}
