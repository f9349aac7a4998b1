#[cfg(all(unix, feature = "commands"))]
use super::commands::{AdminCommand, CommandExecutor, Commander};
use super::{
    body::{AdminBody, whole},
    connection_slot::{CloseMode, ConnectionSlot},
    handle::StopSignal,
    host,
    limits::Limits,
    stream::Stream,
};
#[cfg(feature = "events")]
use crate::observe::events::EventsEndpoint;
#[cfg(feature = "metrics")]
use crate::observe::metrics::MetricsEndpoint;
use crate::{
    accept::{self, ReturnedStream},
    probe::Probes,
    response::Answer,
};
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    future::ready,
    pin::{Pin, pin},
    sync::Arc,
};
use tokio::time::{Duration, sleep, timeout};

/// The maximum size of the head of a request. A probe's head has some hundred
/// bytes; hyper's own limit is 400 KiB (16 KiB for HTTP/2).
const MAX_HEAD: u32 = 16 << 10;

/// The maximum number of open requests of one HTTP/2 connection. hyper's own limit
/// is 200. A prober sends one at a time.
const MAX_STREAMS: u32 = 8;

/// The maximum number of HTTP/2 streams that the peer reset before the listener saw them
/// (the default of h2 0.4.20), and of those that the listener reset for errors of the peer
/// (hyper 1.12 has 1,024).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 100;

/// How often an HTTP/2 peer that waits for an answer gets a PING, and how long it
/// has to acknowledge it (hyper's default).
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection that must close may take to send its answer.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// The probes of one listener.
#[derive(Clone)]
pub(super) struct ServedProbes {
    pub(super) probes: Probes,
    /// On loopback, the probes that answer requests for foreign hosts.
    pub(super) for_foreign_hosts: Option<Probes>,
    /// The events, where the listener serves them.
    #[cfg(feature = "events")]
    pub(super) events: Option<EventsEndpoint>,
    /// The metrics, where the listener serves them.
    #[cfg(feature = "metrics")]
    pub(super) metrics: Option<MetricsEndpoint>,
    /// On a unix socket, the commands, if they are enabled.
    #[cfg(all(unix, feature = "commands"))]
    pub(super) commands: Option<Arc<CommandExecutor>>,
}

/// Answers the probes on one connection until either side ends it, and returns
/// its stream.
pub(super) async fn serve(
    stream: Stream,
    slot: Arc<ConnectionSlot>,
    served: ServedProbes,
    limits: Limits,
    mut stop_signal: StopSignal,
) -> Option<Stream> {
    #[cfg(all(unix, feature = "commands"))]
    let commander = served.commands.as_ref().map(|it| it.commander(&stream));
    let (returned, mut returned_stream) = ReturnedStream::new(stream);
    let service = ConnectionService {
        served,
        // Cloned, because hyper drops the service before the peer has ended, and the
        // process may wait for that end.
        #[cfg(all(unix, feature = "commands"))]
        commander: commander.clone(),
        slot: Arc::clone(&slot),
    };
    let may_linger = serve_http(returned, service, &slot, limits, &mut stop_signal).await;
    let mut stream = returned_stream.try_recv().ok()?;
    if may_linger {
        linger(&mut stream, &slot, &mut stop_signal).await;
    }
    Some(stream)
}

/// Serves HTTP until the connection closes. Returns whether the connection should
/// linger, because its peer may still send, and may have an answer to read.
async fn serve_http(
    returned: Pin<ReturnedStream<Stream>>,
    service: ConnectionService,
    slot: &ConnectionSlot,
    limits: Limits,
    stop_signal: &mut StopSignal,
) -> bool {
    let protocols = protocols(limits.http2);
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(returned), service));

    let mode = tokio::select! { biased;
        // Also an error: the peer disconnected, or sent garbage.
        _ = connection.as_mut() => {
            // An eviction in the same moment leaves the peer the time to read its answer.
            tokio::select! { biased;
                () = slot.evicted() => {}
                () = ready(()) => {}
            }
            return true;
        }
        () = slot.evicted() => CloseMode::Gracefully,
        () = stop_signal.requested() => CloseMode::Gracefully,
        mode = slot.timed_out(&limits) => mode,
    };
    if mode == CloseMode::AtOnce {
        return false;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! { biased;
        ended = timeout(CLOSE_GRACE, connection) => ended.is_ok(),
        () = slot.ended() => false,
    }
}

/// Lingers, until the connection has to end or the listener stops.
async fn linger(stream: &mut Stream, slot: &ConnectionSlot, stop_signal: &mut StopSignal) {
    slot.linger();
    let no_longer = async {
        stop_signal.requested().await;
        sleep(CLOSE_GRACE).await;
    };
    tokio::select! { biased;
        () = slot.ended() => {}
        () = no_longer => {}
        () = accept::linger(&mut **stream) => {}
    }
}

/// Answers the requests of one connection.
struct ConnectionService {
    served: ServedProbes,
    #[cfg(all(unix, feature = "commands"))]
    commander: Option<Arc<Commander>>,
    slot: Arc<ConnectionSlot>,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AdminBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AdminBody>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.slot.begin_request();
        #[cfg(all(unix, feature = "commands"))]
        if let (Some(commander), Some(command)) =
            (&self.commander, AdminCommand::at_path(request.uri().path()))
        {
            let commander = Arc::clone(commander);
            return Box::pin(async move {
                let mut request = request;
                let response = commander.execute(command, &mut request).await;
                drop(open);
                Ok(closing_if_unread(whole(response), &request))
            });
        }
        let for_foreign_hosts = self.served.for_foreign_hosts.as_ref();
        let for_foreign_host = for_foreign_hosts.filter(|_| host::is_foreign(&request));
        let probes = for_foreign_host.unwrap_or(&self.served.probes);
        // The path of a probe is the probe's. The pages of groups come last, so that the
        // name of a group hides neither the events nor the metrics.
        #[cfg(any(feature = "events", feature = "metrics"))]
        let has_extras = for_foreign_host.is_none() && !probes.is_path_of_probe(&request);
        #[cfg(feature = "events")]
        if let Some(events) = self.served.events.as_ref().filter(|_| has_extras) {
            let open = Arc::clone(&self.slot);
            let begin = move || {
                let stream = open.begin_stream();
                move || stream.record_part()
            };
            if let Some(response) = events.answer(&request, begin) {
                return Box::pin(ready(Ok(closing_if_unread(response, &request))));
            }
        }
        #[cfg(feature = "metrics")]
        if let Some(metrics) = self.served.metrics.as_ref().filter(|_| has_extras) {
            if let Some(response) = metrics.answer(&request) {
                return Box::pin(ready(Ok(closing_if_unread(whole(response), &request))));
            }
        }
        // `Probes` as a `Service` would start the background tasks in the runtime
        // of the listener.
        let answer = probes.answer_or_not_found(&request);
        // A request that is answered at once counts as answered now, although hyper
        // sends the answer after the one before. So a peer that sends requests and
        // reads no answers counts as idle.
        let open = matches!(answer, Answer::Later(_)).then_some(open);
        Box::pin(async move {
            let response = answer.await;
            drop(open);
            Ok(closing_if_unread(whole(response), &request))
        })
    }
}

/// Adds `connection: close` if the body of the request was not read to its end.
/// hyper then closes the connection, so the peer must not send another request on
/// it.
fn closing_if_unread<B>(mut response: Response<B>, request: &Request<Incoming>) -> Response<B> {
    if request.version() < Version::HTTP_2 && !request.body().is_end_stream() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn protocols(http2: bool) -> auto::Builder<TokioExecutor> {
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    // hyper's own timeout does not apply to a peer that sends nothing, and applies
    // to a peer that keeps its connection for the next probe.
    protocols
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD as usize);
    if http2 {
        protocols
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS);
        protocols
    } else {
        protocols.http1_only()
    }
}

#[cfg(all(test, unix))]
mod tests;
