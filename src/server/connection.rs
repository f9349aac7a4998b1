#[cfg(unix)]
use super::commands::Command;
#[cfg(unix)]
pub(super) use super::commands::Commander;
use super::{
    bind::Duplex,
    builder::Limits,
    handle::ToStop,
    seat::{Leave, Seat},
};
use crate::{
    probe::{Answer, ProbeResponse, Probes},
    race::{First, race},
};
use http::Request;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
};
use tokio::time::{Duration, timeout};

/// How large the head of a request may be. Those of probes have some hundred
/// bytes; hyper's own limit is 400 KiB (16 KiB for HTTP/2).
const MAX_HEAD: u32 = 16 << 10;

/// Requests of one HTTP/2 connection at a time. hyper's own limit is 200.
const MAX_STREAMS: u32 = 32;

/// How often an HTTP/2 peer is asked whether it is still there while it waits
/// for an answer, and how long it has to say so (hyper's default).
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection that is to end has to get rid of an answer, and if
/// another waits for its place.
const LAST_WORDS: Duration = Duration::from_millis(500);
const QUICKLY: Duration = Duration::from_millis(50);

/// Nobody commands where there are no unix sockets.
#[cfg(not(unix))]
pub(super) type Commander = Infallible;

/// Answers the probes on one connection until either side ends it.
pub(super) async fn serve<S: Duplex>(
    stream: S,
    seat: Arc<Seat>,
    probes: Probes,
    commander: Option<Commander>,
    limits: Limits,
    mut to_stop: ToStop,
) {
    let protocols = protocols();
    let asking = Asking {
        probes,
        commander,
        seat: Arc::clone(&seat),
    };
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(stream), asking));

    let stopped = async {
        to_stop.told().await;
        Leave::Politely
    };
    let told = race(seat.given_away(), race(stopped, seat.overstayed(&limits)));
    let leave = match race(connection.as_mut(), told).await {
        // Peers that hang up or send garbage are errors here.
        First::Left(_) => return,
        First::Right(
            First::Left(leave) | First::Right(First::Left(leave) | First::Right(leave)),
        ) => leave,
    };
    let at_most = match leave {
        Leave::Politely => LAST_WORDS,
        Leave::Quickly => QUICKLY,
        Leave::AtOnce => return,
    };
    connection.as_mut().graceful_shutdown();
    let _ = timeout(at_most, connection).await;
}

/// The requests of one connection.
struct Asking {
    probes: Probes,
    #[cfg_attr(not(unix), expect(dead_code))]
    commander: Option<Commander>,
    seat: Arc<Seat>,
}

impl Service<Request<Incoming>> for Asking {
    type Response = ProbeResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<ProbeResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.seat.ask();
        #[cfg(unix)]
        if let (Some(commander), Some(command)) =
            (&self.commander, Command::at(request.uri().path()))
        {
            let obeyed = commander.clone().obeyed(command, request);
            return Box::pin(async move {
                let response = obeyed.await;
                drop(open);
                Ok(response)
            });
        }
        // Not by the service of the probes, which is for the runtime of the
        // process.
        let answer = self.probes.answer_or_not_found(&request);
        Box::pin(async move {
            let response = match answer {
                Answer::Now(response) => response,
                Answer::Later(response) => response.await,
            };
            drop(open);
            Ok(response)
        })
    }
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    // hyper's own timeout would not see those who send nothing, and would see
    // those who keep a connection for the next probe.
    protocols
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD as usize);
    protocols
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD);
    protocols
}
