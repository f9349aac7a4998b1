use super::socket_file::{Denied, FileIdentity};
use crate::{
    probe::line,
    registry::{PauseGuard, Readiness},
    response::OwnResponse,
    state::Phase,
    traffic::EndWatcher,
    wire::paths,
};
use http::{HeaderValue, Method, Request, StatusCode, header::ALLOW};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::time::{Duration, timeout};

/// The maximum size of the reason in a request; the registry keeps 1 KiB of it.
const MAX_REASON: usize = 4096;

/// A command that a client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Pause,
    Resume,
    Drain,
}

/// Executes the commands of one listener.
pub(super) struct Commands {
    readiness: Readiness,
    identity: FileIdentity,
    body_timeout: Duration,
    /// The pause by command, until it is resumed or the listener ends.
    pause: Mutex<Option<PauseGuard>>,
}

/// The client of one connection, as a sender of commands.
#[derive(Clone)]
pub(super) struct Commander {
    commands: Arc<Commands>,
    /// The user id of the client.
    peer: Option<u32>,
    /// Counts the connection once its client waits for the end of the process. The
    /// connection owns a clone for as long as it is open.
    watches_end: Arc<OnceLock<EndWatcher>>,
}

impl Commands {
    /// Creates the commands; the body of a request may take `body_timeout`.
    pub(super) fn new(
        readiness: Readiness,
        identity: FileIdentity,
        body_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            readiness,
            identity,
            body_timeout,
            pause: Mutex::new(None),
        })
    }

    pub(super) fn commander(self: &Arc<Self>, peer: Option<u32>) -> Commander {
        Commander {
            commands: Arc::clone(self),
            peer,
            watches_end: Arc::default(),
        }
    }

    fn pause(&self, reason: &str) -> &'static str {
        let newer = self.readiness.pause_at_once(reason);
        // The older pause ends after the newer one has begun, without a gap.
        let _older = self.lock_pause().replace(newer);
        "paused"
    }

    fn resume(&self) -> &'static str {
        let held = self.lock_pause().take();
        let was_held = held.is_some();
        drop(held);
        match (was_held, self.readiness.snapshot().paused().is_some()) {
            (true, false) => "resumed",
            (false, false) => "was not paused",
            (_, true) => "still paused, by the process itself",
        }
    }

    fn lock_pause(&self) -> MutexGuard<'_, Option<PauseGuard>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Command {
    pub(super) fn at_path(path: &str) -> Option<Self> {
        match path {
            paths::PAUSE => Some(Self::Pause),
            paths::RESUME => Some(Self::Resume),
            paths::DRAIN => Some(Self::Drain),
            _ => None,
        }
    }

    /// The methods that are allowed at the path of the command.
    fn methods(self) -> &'static str {
        match self {
            Self::Pause | Self::Resume => "POST",
            Self::Drain => "GET, POST",
        }
    }
}

impl Commander {
    pub(super) async fn execute(
        self,
        command: Command,
        request: &mut Request<Incoming>,
    ) -> OwnResponse {
        // A GET waits and begins no drain, so that a client that repeats it after
        // the process has ended does not drain the next process.
        let waits = command == Command::Drain && *request.method() == Method::GET;
        if !waits && *request.method() != Method::POST {
            let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            let methods = HeaderValue::from_static(command.methods());
            response.headers_mut().insert(ALLOW, methods);
            return response;
        }
        let Self {
            commands,
            peer,
            watches_end,
        } = self;
        if let Err(denied) = commands.identity.authorize(peer) {
            let status = match denied {
                // The file is removed before the connections end.
                Denied::Gone => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
            return line(status, &denied.to_string());
        }
        let readiness = &commands.readiness;
        match command {
            Command::Drain if waits => answer_when_closed(readiness, &watches_end).await,
            Command::Pause => {
                let reason = match timeout(commands.body_timeout, read_reason(request)).await {
                    Ok(Ok(reason)) => reason,
                    Ok(Err(BodyError::TooLong)) => {
                        return line(StatusCode::PAYLOAD_TOO_LARGE, "the reason is too long");
                    }
                    Ok(Err(BodyError::Broken)) => {
                        return line(StatusCode::BAD_REQUEST, "the reason did not arrive");
                    }
                    Err(_) => {
                        return line(StatusCode::REQUEST_TIMEOUT, "the reason did not arrive");
                    }
                };
                log("pause", peer);
                line(StatusCode::OK, commands.pause(&reason))
            }
            Command::Resume => {
                log("resume", peer);
                line(StatusCode::OK, commands.resume())
            }
            Command::Drain => {
                log("drain", peer);
                // Counted before the drain begins, because it may end at once. A
                // client that does not wait for the end closes its connection.
                watch_end(readiness, &watches_end);
                readiness.advance_at_once(Phase::Draining);
                line(StatusCode::OK, readiness.verdict().phase().as_str())
            }
        }
    }
}

/// Counts the connection, because its client waits for the end of the process.
fn watch_end(readiness: &Readiness, watches_end: &OnceLock<EndWatcher>) {
    watches_end.get_or_init(|| readiness.registry().traffic().end_watchers.add());
}

/// Answers when the process is closed, or at once with 409 if it does not drain.
async fn answer_when_closed(
    readiness: &Readiness,
    watches_end: &OnceLock<EndWatcher>,
) -> OwnResponse {
    if readiness.verdict().phase() < Phase::Draining {
        return line(StatusCode::CONFLICT, "the process does not drain");
    }
    let closed = |phase| phase == Phase::Closed;
    let registry = readiness.registry();
    watch_end(readiness, watches_end);
    // `Readiness`' own methods that wait would start the background tasks in the
    // runtime of the listener. The registry cannot end while `readiness` exists.
    let _ = registry
        .wait_for(|data| closed(data.phase).then_some(()))
        .await;
    line(StatusCode::OK, readiness.verdict().phase().as_str())
}

/// Why the body of a request could not be read.
enum BodyError {
    TooLong,
    Broken,
}

async fn read_reason(request: &mut Request<Incoming>) -> Result<String, BodyError> {
    match Limited::new(request.body_mut(), MAX_REASON).collect().await {
        Ok(body) => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLong),
        Err(_) => Err(BodyError::Broken),
    }
}

#[cfg(feature = "tracing")]
fn log(command: &'static str, peer: Option<u32>) {
    crate::logging::line(tracing::Level::INFO, || {
        move |span| crate::logging::event!(info, span, command, uid = peer, "command accepted")
    });
}

#[cfg(not(feature = "tracing"))]
fn log(_: &str, _: Option<u32>) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry::Subsystem, server::AdminListener};
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        thread, time,
    };

    #[track_caller]
    fn wait_until(condition: impl Fn() -> bool) {
        let begun = time::Instant::now();
        while !condition() {
            assert!(begun.elapsed() < time::Duration::from_secs(30));
            thread::sleep(time::Duration::from_millis(1));
        }
    }

    #[test]
    fn a_client_that_waits_for_the_end_counts_until_it_hangs_up() {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let server = AdminListener::new(&readiness).serve_on_thread(&*path);
        let server = server.unwrap();
        let watchers = &readiness.registry().traffic().end_watchers;
        let send = |head: &str| {
            let mut client = UnixStream::connect(&path).unwrap();
            let request = format!("{head}\r\nhost: x\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            client
        };
        let ask = |method: &str| send(&format!("{method} /commands/drain HTTP/1.1"));
        let answer = |client: &mut UnixStream, end: &str| {
            let mut answer = String::new();
            while !answer.ends_with(end) {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                answer.push(byte[0].into());
            }
        };

        answer(&mut ask("GET"), "does not drain\n");
        assert!(watchers.is_empty(), "the process does not end");

        let mut client = ask("POST");
        answer(&mut client, "draining\n");
        assert!(!watchers.is_empty(), "the client may begin to wait");
        drop(client);
        wait_until(|| watchers.is_empty());

        let mut client = ask("GET");
        wait_until(|| !watchers.is_empty());
        readiness.advance(Phase::Closed);
        answer(&mut client, "closed\n");
        // The client has its answer, and is still connected.
        assert!(!watchers.is_empty());
        drop(client);
        wait_until(|| watchers.is_empty());

        // The listener ends first.
        let mut client = send("GET /commands/drain HTTP/1.1\r\nconnection: close");
        answer(&mut client, "closed\n");
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        // After another answer, the turn in which the connection ended is over.
        answer(&mut send("GET /livez HTTP/1.1"), "live\n");
        assert!(!watchers.is_empty());
        drop(client);
        wait_until(|| watchers.is_empty());
        server.stop();
    }
}
