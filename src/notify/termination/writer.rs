use super::{file::rewrite, message::Message};
use crate::{
    registry::{Readiness, Registry, RegistryClosed},
    state::Moment,
    threads,
};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime},
};

/// The name of the thread, in debuggers and `top -H`; Linux shows 15 bytes.
const NAME: &str = "readiness-file";

/// The pause after each write, so that a subsystem that flaps does not keep a
/// processor busy.
const PAUSE: Duration = Duration::from_millis(10);

impl Readiness {
    /// Writes an explanation of the state of the process to this file after each
    /// change, so that the file explains the process after its death; see the
    /// [module documentation](crate::notify::termination).
    ///
    /// `path` names an existing regular file; in Kubernetes `/dev/termination-log`,
    /// unless the container sets `terminationMessagePath`. The text is one line of at
    /// most 4,096 bytes, which the kubelet accepts for one container.
    ///
    /// Starts a thread, which does not keep the registry alive and ends with it. It
    /// needs no runtime, so that it writes while all runtimes hang. The call does not
    /// wait for the first write, and no failure reaches the caller: the log has a
    /// warning. Each call adds a file.
    pub fn termination_message(&self, path: impl Into<PathBuf>) {
        let (registry, path) = (Arc::clone(self.registry()), path.into());
        let log_path = path.clone();
        if let Err(error) = threads::spawn(NAME, move || run(&registry, &path)) {
            log(&log_path, &error);
        }
    }
}

/// Writes until the registry closes.
fn run(registry: &Registry, path: &Path) {
    let mut message = Message::new(now());
    let mut seen = None;
    let mut warned = false;
    loop {
        let newer = registry.wait_for(|data| (Some(data.version) != seen).then_some(()));
        if let Err(RegistryClosed {}) = block_on(newer) {
            return;
        }
        let snapshot = registry.load();
        seen = Some(snapshot.version());
        let text = message.update(&snapshot.0, registry.traffic().flights.count(), now());
        match rewrite(path, &text) {
            Ok(()) => warned = false,
            Err(error) => {
                registry.meters().termination_errors.increment();
                if !warned {
                    log(path, &error);
                    warned = true;
                }
            }
        }
        thread::sleep(PAUSE);
    }
}

fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: Instant::now(),
    }
}

/// Runs a future on this thread. A runtime here would start the idle tasks of the
/// registry on it.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn log(path: &Path, error: &io::Error) {
    crate::log::line!(
        warn, "termination_message_failed",
        { path: path.display().to_string(), error: error.to_string() },
        path, %error, "cannot write the termination message; the next change tries again"
    );
}
