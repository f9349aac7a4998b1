#[cfg(feature = "signal")]
use super::{
    error::ShutdownError,
    signals::{Heard, Listener, Signals},
};
use std::future::pending;
#[cfg(feature = "signal")]
use std::future::poll_fn;

/// Listens for signals, if it is to.
#[derive(Default)]
pub(super) struct Ears {
    #[cfg(feature = "signal")]
    listener: Option<Listener>,
}

#[cfg(feature = "signal")]
impl Ears {
    pub(super) fn listening(signals: Option<&Signals>) -> Result<Self, ShutdownError> {
        let listener = signals.map(Listener::install).transpose()?;
        Ok(Self { listener })
    }

    async fn next(&mut self) -> Heard {
        match &mut self.listener {
            Some(listener) => poll_fn(|cx| listener.poll(cx)).await,
            None => pending().await,
        }
    }

    /// Completes at any signal.
    pub(super) async fn signal(&mut self) {
        self.next().await;
    }

    /// Completes at SIGINT, and ignores all others.
    pub(super) async fn interrupt(&mut self) {
        while self.next().await != Heard::Interrupt {}
    }
}

#[cfg(not(feature = "signal"))]
impl Ears {
    pub(super) async fn signal(&mut self) {
        pending::<()>().await;
    }

    pub(super) async fn interrupt(&mut self) {
        pending::<()>().await;
    }
}
