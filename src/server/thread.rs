use super::{builder::AdminListener, error::ServeError, handle::AdminServer};
use crate::address::Address;
use std::{
    io,
    sync::mpsc,
    thread::{Builder, JoinHandle},
};
use tokio::runtime;

/// What a debugger or `top -H` shows.
const NAME: &str = "readiness";

/// Serves on a thread, which ends with it.
pub(super) fn serve(
    admin: AdminListener,
    address: Address,
) -> Result<(AdminServer, JoinHandle<()>), ServeError> {
    let failed = {
        let address = address.clone();
        move |source| ServeError::Thread { address, source }
    };
    let (tell, outcome) = mpsc::sync_channel(1);
    let run = move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(source) => {
                let _ = tell.send(Err(ServeError::Thread { address, source }));
                return;
            }
        };
        runtime.block_on(async move {
            match admin.bind(address).await {
                Ok((server, serving)) => {
                    // Nobody has to be there to receive it.
                    let _ = tell.send(Ok(server));
                    serving.await;
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        });
    };
    let thread = match Builder::new().name(NAME.to_owned()).spawn(run) {
        Ok(thread) => thread,
        Err(source) => return Err(failed(source)),
    };
    match outcome.recv() {
        Ok(outcome) => Ok((outcome?, thread)),
        Err(_) => Err(failed(io::Error::other("the thread panicked"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Readiness, Subsystem};

    fn start() -> (AdminServer, JoinHandle<()>) {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        serve(
            AdminListener::new(&readiness),
            "127.0.0.1:0".parse().unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn its_thread_has_a_name_and_ends_when_it_is_stopped() {
        let (server, thread) = start();
        assert_eq!(thread.thread().name(), Some("readiness"));
        server.stop();
        thread.join().unwrap();
    }
}
