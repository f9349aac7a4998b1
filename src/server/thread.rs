use super::{error::ServeError, handle::AdminServer};
use crate::{address::Address, threads};
use std::{future::poll_fn, io, pin::pin, sync::mpsc, thread::JoinHandle};
use tokio::runtime;

/// What a debugger or `top -H` shows.
const NAME: &str = "readiness";

/// Lets `bind` listen on a thread, and answer there; the thread ends with it.
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
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // New connections are looked for after each step of an old one: an
            // answer that takes long to render holds up one probe, not all.
            .event_interval(1)
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(source) => {
                let _ = sender.send(Err(ServeError::Thread { address, source }));
                return;
            }
        };
        runtime.block_on(async move {
            match bind(address).await {
                Ok((server, serving)) => {
                    // Nobody has to be there to receive it.
                    let _ = sender.send(Ok(server));
                    // As a task it takes turns with those of the connections.
                    let serving = async move {
                        let mut serving = pin!(serving);
                        poll_fn(|cx| {
                            // Polled for each connection: by then there may be a
                            // subscriber.
                            #[cfg(feature = "tracing")]
                            crate::threads::mute();
                            serving.as_mut().poll(cx)
                        })
                        .await;
                    };
                    let _ = tokio::spawn(serving).await;
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                }
            }
        });
    };
    let thread = match threads::spawn(NAME, run) {
        Ok(thread) => thread,
        Err(source) => return Err(failed(source)),
    };
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
    fn its_thread_has_a_name_and_ends_when_it_is_stopped() {
        let (server, thread) = start();
        assert_eq!(thread.thread().name(), Some("readiness"));
        server.stop();
        thread.join().unwrap();
    }
}
