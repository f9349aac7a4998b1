use super::{sending::SendingStream, slots::Slot};
use crate::{
    accept::{ReadWrite, ReturnedStream, linger},
    connections::{Connections, TrackedConnection},
    registry::Readiness,
};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::Service as HyperService};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    error::Error,
    future::{Future, pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
};
use tokio::time::{Duration, Instant, sleep, timeout};
use tower_service::Service;

/// What the connections of one server share.
pub(super) struct ConnectionSettings {
    pub(super) readiness: Readiness,
    pub(super) connections: Connections,
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) header_timeout: Duration,
    pub(super) handshake_timeout: Duration,
}

/// How long the peer of an evicted connection has to take the next bytes of its last answer,
/// and in all. hyper buffers the end of an answer, so a peer that still reads it may have no
/// open request. A request that arrives together with the eviction is answered first, however
/// long it takes.
const EVICTION_GRACE: Duration = Duration::from_secs(5);
const EVICTION_IN_ALL: Duration = Duration::from_secs(30);

type Stream = Box<dyn ReadWrite>;

/// Serves one connection until either side ends it, and lingers. A failure is that of
/// one peer, so nothing is returned.
pub(super) async fn serve<C, H, F, I, T, M, S, B>(
    connection: C,
    handshake: H,
    make_service: M,
    slot: Arc<Slot>,
    tracked: TrackedConnection,
    settings: Arc<ConnectionSettings>,
) where
    H: FnOnce(C) -> F,
    F: Future<Output = io::Result<(I, T)>>,
    I: ReadWrite + 'static,
    M: Service<T, Response = S>,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    // The code of the application runs in the task of the connection, so that neither a panic
    // nor a wait in it concerns another connection.
    let set_up = async {
        let (stream, peer) = tokio::select! { biased;
            accepted = handshake(connection) => accepted.ok()?,
            // The peer has sent no request yet. After the handshake, one may have arrived.
            () = tracked.until_closing() => return None,
        };
        Some((stream, make(make_service, peer).await?))
    };
    let (stream, service) = tokio::select! { biased;
        ready = timeout(settings.handshake_timeout, set_up) => match ready {
            Ok(Some(ready)) => ready,
            _ => return,
        },
        () = slot.evicted() => return,
    };
    let stream: Stream = Box::new(SendingStream {
        stream,
        has_sent: slot.has_sent(),
    });
    let (returned, mut returned_stream) = ReturnedStream::new(stream);
    let end = serve_http(returned, service, tracked, &slot, &settings).await;
    // An upgraded stream stays with its handler.
    if let Ok(mut stream) = returned_stream.try_recv() {
        slot.linger();
        tokio::select! { biased;
            // The peer may not have read an answer that followed the eviction.
            () = slot.evicted(), if end != End::AnsweredEvicted => {}
            () = linger(&mut *stream) => {}
        }
    }
}

async fn make<M: Service<T>, T>(mut make_service: M, peer: T) -> Option<M::Response> {
    poll_fn(|cx| make_service.poll_ready(cx)).await.ok()?;
    make_service.call(peer).await.ok()
}

/// How a connection has ended.
#[derive(PartialEq)]
enum End {
    /// It was evicted, and has answered a request since.
    AnsweredEvicted,
    Other,
}

/// Serves HTTP until the connection closes, or no request has arrived in time.
async fn serve_http<S, B>(
    stream: Pin<ReturnedStream<Stream>>,
    service: S,
    tracked: TrackedConnection,
    slot: &Arc<Slot>,
    settings: &ConnectionSettings,
) -> End
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let service = tracked.service(FirstRequest {
        inner: TowerToHyperService::new(service),
        slot: Arc::clone(slot),
    });
    let connection = settings
        .http
        .serve_connection_with_upgrades(TokioIo::new(stream), service);
    let no_request = async {
        sleep(settings.header_timeout).await;
        if slot.has_sent_request() {
            pending::<()>().await;
        }
    };
    let mut driven = pin!(tracked.drive(connection));
    let is_evicted = tokio::select! { biased;
        // Also an error: the peer disconnected, or sent garbage.
        _ = driven.as_mut() => false,
        () = no_request => return End::Other,
        () = slot.evicted() => slot.has_sent_request(),
    };
    if is_evicted {
        let evicted = Instant::now();
        slot.take_sent();
        driven.as_mut().end();
        while timeout(EVICTION_GRACE, driven.as_mut()).await.is_err() {
            let reads_on = slot.take_sent() && evicted.elapsed() < EVICTION_IN_ALL;
            if !reads_on && slot.is_idle_for(EVICTION_GRACE) {
                break;
            }
        }
    }
    // The connection may also have answered and ended in the moment of its eviction.
    if slot.had_request_since_eviction() {
        End::AnsweredEvicted
    } else {
        End::Other
    }
}

/// Notes that a request has arrived.
#[derive(Clone)]
struct FirstRequest<S> {
    inner: S,
    slot: Arc<Slot>,
}

impl<S: HyperService<R>, R> HyperService<R> for FirstRequest<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: R) -> S::Future {
        self.slot.record_request();
        self.inner.call(request)
    }
}
