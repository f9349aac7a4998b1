use super::authorize::{Denied, authorize};
use crate::{
    mutex::Mutex,
    probe::line,
    registry::{PauseGuard, Readiness},
    response::{OwnResponse, without_body},
    server::{socket_file::FileIdentity, stream::Stream},
    state::Phase,
    traffic::EndWatchers,
    wire::paths,
};
use http::{HeaderValue, Method, Request, StatusCode, header::ALLOW};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::sync::{Arc, OnceLock};
use tokio::time::{Duration, timeout};

/// The maximum size of the reason in a request; the registry keeps 1 KiB of it.
const MAX_REASON: usize = 4096;

/// A command that a client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum AdminCommand {
    Pause,
    Resume,
    Drain,
}

/// Executes the commands that clients of one listener send.
pub(in crate::server) struct CommandExecutor {
    readiness: Readiness,
    socket: FileIdentity,
    /// How long the body of a request may take.
    body_timeout: Duration,
    /// The pause by command, until it is resumed or the listener ends.
    pause: Mutex<Option<PauseGuard>>,
}

/// The client of one connection, as a sender of commands.
pub(in crate::server) struct Commander {
    commands: Arc<CommandExecutor>,
    /// The user id of the client.
    peer: Option<u32>,
    /// Counts the connection once its client waits for the end of the process.
    watches_end: OnceLock<EndWatchers>,
}

impl CommandExecutor {
    pub(in crate::server) fn new(
        readiness: Readiness,
        socket: FileIdentity,
        body_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            readiness,
            socket,
            body_timeout,
            pause: Mutex::new(None),
        })
    }

    /// Returns the sender of commands on this connection. The connection owns it for
    /// as long as it is open.
    pub(in crate::server) fn commander(self: &Arc<Self>, stream: &Stream) -> Arc<Commander> {
        let peer = match stream {
            Stream::Unix(stream) => stream.peer_cred().ok().map(|peer| peer.uid()),
            Stream::Tcp(_) => None,
        };
        Arc::new(Commander {
            commands: Arc::clone(self),
            peer,
            watches_end: OnceLock::new(),
        })
    }

    fn pause(&self, reason: &str) -> &'static str {
        let newer = self.readiness.pause_at_once(reason);
        // The older pause ends after the newer one has begun, without a gap.
        let _older = self.pause.lock().replace(newer);
        "paused"
    }

    fn resume(&self) -> &'static str {
        let held = self.pause.lock().take();
        let was_held = held.is_some();
        drop(held);
        match (was_held, self.readiness.snapshot().paused().is_some()) {
            (true, false) => "resumed",
            (false, false) => "was not paused",
            (_, true) => "still paused, by the process itself",
        }
    }
}

impl AdminCommand {
    pub(in crate::server) fn at_path(path: &str) -> Option<Self> {
        match path {
            paths::PAUSE => Some(Self::Pause),
            paths::RESUME => Some(Self::Resume),
            paths::DRAIN => Some(Self::Drain),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Drain => "drain",
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
    pub(in crate::server) async fn execute(
        &self,
        command: AdminCommand,
        request: &mut Request<Incoming>,
    ) -> OwnResponse {
        // A GET waits and begins no drain, so that a client that repeats it after
        // the process has ended does not drain the next process.
        let waits = command == AdminCommand::Drain && *request.method() == Method::GET;
        if !waits && *request.method() != Method::POST {
            let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            let methods = HeaderValue::from_static(command.methods());
            response.headers_mut().insert(ALLOW, methods);
            let is_head = *request.method() == Method::HEAD;
            return if is_head {
                without_body(response)
            } else {
                response
            };
        }
        let CommandExecutor {
            readiness,
            socket,
            body_timeout,
            ..
        } = &*self.commands;
        if let Err(denied) = authorize(socket, self.peer) {
            let status = match denied {
                // The file is removed before the connections end.
                Denied::Gone => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
            return line(status, &denied.to_string());
        }
        if waits {
            return self.answer_when_closed().await;
        }
        let reason = match command {
            AdminCommand::Pause => read_reason(request, *body_timeout).await,
            AdminCommand::Resume | AdminCommand::Drain => Ok(String::new()),
        };
        let reason = match reason {
            Ok(reason) => reason,
            Err(failed) => return failed,
        };
        crate::log::line!(
            info, "command_accepted", { command: command.name(), uid: self.peer },
            command, uid, "command accepted"
        );
        let done = match command {
            AdminCommand::Pause => self.commands.pause(&reason),
            AdminCommand::Resume => self.commands.resume(),
            AdminCommand::Drain => {
                // Counted before the drain begins, because it may end at once. A
                // client that does not wait for the end closes its connection.
                self.watch_end();
                readiness.registry().advance(Phase::Draining);
                readiness.verdict().phase().as_str()
            }
        };
        line(StatusCode::OK, done)
    }

    /// Answers when the process is closed, or at once with 409 if it does not drain.
    async fn answer_when_closed(&self) -> OwnResponse {
        let readiness = &self.commands.readiness;
        if readiness.verdict().phase() < Phase::Draining {
            return line(StatusCode::CONFLICT, "the process does not drain");
        }
        self.watch_end();
        // `Readiness`' own methods that wait would start the background tasks in the
        // runtime of the listener. The registry cannot end while `readiness` exists.
        let closed = |phase| phase == Phase::Closed;
        let registry = readiness.registry();
        let _ = registry
            .wait_for(|data| closed(data.phase).then_some(()))
            .await;
        line(StatusCode::OK, readiness.verdict().phase().as_str())
    }

    /// Counts the connection, because its client waits for the end of the process.
    fn watch_end(&self) {
        let traffic = self.commands.readiness.registry().traffic();
        self.watches_end
            .get_or_init(|| traffic.end_watchers.clone());
    }
}

/// Reads the reason of a pause. The error is the answer to the client.
async fn read_reason(
    request: &mut Request<Incoming>,
    within: Duration,
) -> Result<String, OwnResponse> {
    let body = Limited::new(request.body_mut(), MAX_REASON).collect();
    Err(match timeout(within, body).await {
        Ok(Ok(body)) => return Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            line(StatusCode::PAYLOAD_TOO_LARGE, "the reason is too long")
        }
        Ok(Err(_)) => line(StatusCode::BAD_REQUEST, "the reason did not arrive"),
        Err(_) => line(StatusCode::REQUEST_TIMEOUT, "the reason did not arrive"),
    })
}

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
        let server = AdminListener::new(&readiness).with_commands();
        let server = server.serve_on_thread(&*path).unwrap();
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
