use super::{error::ServeError, handle::AdminServer};
use crate::{address::Address, threads};
use std::{future::poll_fn, io, pin::pin, sync::mpsc, thread::JoinHandle};
use tokio::runtime;

/// The name of the thread, in debuggers and `top -H`.
const NAME: &str = "readiness";

/// Starts a thread with a runtime, calls `bind` there, and serves until it ends.
///
/// Returns when `bind` has returned. Fails if `bind` does, or if the thread or its
/// runtime cannot start.
pub(super) fn serve<B, F, S>(
    address: Address,
    bind: B,
) -> Result<(AdminServer, JoinHandle<()>), ServeError>
where
    B: FnOnce(Address) -> F + Send + 'static,
    F: Future<Output = Result<(AdminServer, S), ServeError>>,
    S: Future<Output = ()> + Send + 'static,
{
    let failed = {
        let address = address.clone();
        move |source| ServeError::Thread { address, source }
    };
    let failed_on_thread = failed.clone();
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_start(threads::mark_own)
            // The runtime polls for new connections after each task, so an answer
            // that takes long to render delays one probe, not all.
            .event_interval(1)
            .build()
            .map_err(failed_on_thread);
        let bound = runtime.and_then(|runtime| Ok((runtime.block_on(bind(address))?, runtime)));
        // In both cases the receiver may be dropped.
        let ((server, serving), runtime) = match bound {
            Ok(bound) => bound,
            Err(error) => return drop(sender.send(Err(error))),
        };
        let _ = sender.send(Ok(server));
        let serving = async move {
            let mut serving = pin!(serving);
            poll_fn(|cx| {
                // Repeated at each poll, because a subscriber may be installed after
                // the start of the thread.
                #[cfg(feature = "tracing")]
                crate::threads::mute();
                serving.as_mut().poll(cx)
            })
            .await;
        };
        // A spawned task is scheduled fairly with those of connections.
        let _ = runtime.block_on(runtime.spawn(serving));
    };
    let thread = threads::spawn(NAME, run).map_err(failed.clone())?;
    match receiver.recv() {
        Ok(outcome) => Ok((outcome?, thread)),
        Err(_) => Err(failed(io::Error::other("the thread panicked"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registry::{Readiness, Subsystem},
        server::AdminListener,
    };

    fn start() -> (AdminServer, JoinHandle<()>) {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        let admin = AdminListener::new(&readiness);
        let address = "127.0.0.1:0".parse().unwrap();
        serve(address, |address| admin.bind(address)).unwrap()
    }

    #[test]
    fn the_thread_has_a_name_and_ends_when_the_listener_stops() {
        let (server, thread) = start();
        assert_eq!(thread.thread().name(), Some("readiness"));
        server.stop();
        thread.join().unwrap();
    }

    /// Otherwise the registry would take a call on it for one of the application.
    #[test]
    fn a_thread_that_its_runtime_starts_is_one_of_the_crate_too() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let (sender, receiver) = mpsc::channel();
        let bind = async move |address| {
            let is_own = tokio::task::spawn_blocking(threads::is_own).await;
            sender.send(is_own.unwrap()).unwrap();
            AdminListener::new(&readiness).bind(address).await
        };
        let (server, _) = serve("127.0.0.1:0".parse().unwrap(), bind).unwrap();
        assert!(receiver.recv().unwrap());
        server.stop();
    }
}
