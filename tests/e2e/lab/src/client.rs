//! Sends one request and checks its answer.

use crate::{
    answer::{self, Flaw, REPLICA, REQUEST_ID, Received},
    tally::{Cause, What},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{convert::Infallible, error::Error, io, net::SocketAddr, time::Duration};
use tokio::time::{sleep, timeout};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Pooled = legacy::Client<HttpConnector, Body>;
pub(crate) type Failure = (Cause, String);

pub(crate) const WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    KeepAlive,
    /// A connection of its own.
    Fresh,
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// The handler takes as long.
    Slow(Duration),
    /// The client takes as long to send its body.
    Upload(Duration),
    /// The answer takes as long.
    Stream(Duration),
    /// Needs the database.
    Database,
}

impl Kind {
    pub(crate) fn over(self, protocol: Protocol) -> What {
        What {
            protocol: match protocol {
                Protocol::KeepAlive => "HTTP/1",
                Protocol::Fresh => "HTTP/1, fresh connection",
                Protocol::Http2 => "HTTP/2",
            },
            kind: match self {
                Self::Plain => "plain request",
                Self::Slow(_) => "slow request",
                Self::Upload(_) => "upload",
                Self::Stream(_) => "stream",
                Self::Database => "database request",
            },
            quick: self == Self::Plain,
            apart: self == Self::Database,
        }
    }

    pub(crate) fn path(self) -> String {
        match self {
            Self::Plain => "/plain".to_owned(),
            Self::Slow(time) => format!("/slow?ms={}", time.as_millis()),
            Self::Upload(_) => "/upload".to_owned(),
            Self::Stream(time) => format!("/stream?ms={}", time.as_millis()),
            Self::Database => "/db".to_owned(),
        }
    }
}

/// The connections of one user of the balancer.
pub(crate) struct Client {
    http1: SocketAddr,
    http2: SocketAddr,
    keep_alive: Pooled,
    fresh: Pooled,
    multiplexed: Pooled,
}

impl Client {
    pub(crate) fn new(http1: SocketAddr, http2: SocketAddr) -> Self {
        Self {
            http1,
            http2,
            keep_alive: pooled(|builder| builder),
            fresh: pooled(|builder| builder.pool_max_idle_per_host(0)),
            multiplexed: pooled(|builder| builder.http2_only(true)),
        }
    }

    pub(crate) async fn request(
        &self,
        protocol: Protocol,
        kind: Kind,
        id: &str,
    ) -> Result<(), Failure> {
        let (client, address) = match protocol {
            Protocol::KeepAlive => (&self.keep_alive, self.http1),
            Protocol::Fresh => (&self.fresh, self.http1),
            Protocol::Http2 => (&self.multiplexed, self.http2),
        };
        let mut upload = None;
        let (method, body) = match kind {
            Kind::Upload(time) => {
                let mut received = Received::default();
                let body = slow_body(id, time, &mut received);
                upload = Some(received);
                (Method::POST, body)
            }
            _ => (Method::GET, Empty::new().boxed_unsync()),
        };
        let uri = format!("http://{address}{}", kind.path());
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(REQUEST_ID, id)
            .body(body)
            .map_err(|error| (Cause::WrongBody, error.to_string()))?;
        let exchange = async {
            let response = client
                .request(request)
                .await
                .map_err(|error| unanswered(error.is_connect(), &error))?;
            judge(response, id, upload.as_ref()).await
        };
        timeout(WITHIN, exchange)
            .await
            .unwrap_or_else(|_| Err((Cause::Timeout, format!("{WITHIN:?}"))))
    }
}

/// A client with a pool of connections, which never sends a request twice. One that it has
/// not begun to send, because the connection had ended before, leaves on another connection,
/// as in [`crate::kept`].
pub(crate) fn pooled(configure: fn(&mut legacy::Builder) -> &mut legacy::Builder) -> Pooled {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        // Before the balancer gives up on an idle connection.
        .pool_idle_timeout(Duration::from_secs(10))
        .retry_canceled_requests(true);
    configure(&mut builder).build(connector)
}

/// A body that is sent in parts over `time`; adds each part to `sum`.
fn slow_body(id: &str, time: Duration, sum: &mut Received) -> Body {
    const PARTS: u32 = 4;
    let parts: Vec<Bytes> = (0..PARTS)
        .map(|part| format!("{id} part {part} ").repeat(20).into())
        .collect();
    for part in &parts {
        sum.add(part);
    }
    let parts = stream::unfold(parts.into_iter(), move |mut parts| async move {
        let part = parts.next()?;
        sleep(time / PARTS).await;
        Some((Ok::<_, Infallible>(Frame::data(part)), parts))
    });
    StreamBody::new(parts).boxed_unsync()
}

/// Why no answer began.
pub(crate) fn unanswered(connecting: bool, error: &(dyn Error + 'static)) -> Failure {
    let cause = if connecting {
        Cause::Unconnected
    } else {
        Cause::Closed
    };
    (cause, chain(error))
}

/// Checks that the response is that of one run of a handler for the request `id`.
pub(crate) async fn judge(
    response: Response<Incoming>,
    id: &str,
    upload: Option<&Received>,
) -> Result<(), Failure> {
    let (head, body) = response.into_parts();
    let replica = text(&head.headers, REPLICA);
    let who = replica.clone().unwrap_or_default();
    if !head.status.is_success() {
        let status = head.status.as_u16();
        let cause = match (text(&head.headers, "x-readiness"), replica) {
            (Some(reason), _) => Cause::Gate(reason),
            (None, Some(_)) => Cause::Application(status),
            (None, None) => Cause::Balancer(status),
        };
        return Err((cause, who));
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err((Cause::CutShort, format!("{who}: {}", chain(&error)))),
    };
    answer::judge(&body, id, upload).map_err(|flaw| match flaw {
        Flaw::CutShort => (Cause::CutShort, format!("{who}: {} bytes", body.len())),
        Flaw::Wrong(what) => (Cause::WrongBody, format!("{who}: {what}")),
    })
}

pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// An error and its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        if let Some(error) = error.downcast_ref::<io::Error>() {
            text = format!("{text} ({:?})", error.kind());
        }
        source = error.source();
    }
    text
}
