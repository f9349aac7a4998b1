//! One request by each transport, and its answer.

use super::{Config, not_a_success};
use crate::{
    BoxError,
    client::{Body, Failure, Pooled, WITHIN, chain, pooled, text, unanswered},
    kept::{Departure, Departures, Kept, Peer},
    tally::Cause,
};
use fastrand::Rng;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    error::Error,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP/1, a connection for each request.
    Fresh,
    /// HTTP/1, from a pool of connections.
    KeepAlive,
    /// HTTP/2, on connections that are kept.
    Http2,
    /// gRPC's health check, on channels.
    Grpc,
}

impl Transport {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.u32(..100) {
            0..35 => Self::Fresh,
            35..65 => Self::KeepAlive,
            65..85 => Self::Http2,
            _ => Self::Grpc,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "HTTP/1, keep-alive off",
            Self::KeepAlive => "HTTP/1, keep-alive on",
            Self::Http2 => "HTTP/2, connections kept",
            Self::Grpc => "gRPC channels",
        }
    }
}

/// The answer to a request that succeeded.
#[derive(Debug)]
pub(crate) enum Answer {
    Handled { pod: String },
    Health { serving: bool },
}

/// The clients of all transports.
pub(crate) struct Requests {
    address: SocketAddr,
    fresh: Pooled,
    keep_alive: Pooled,
    http2: Vec<Kept>,
    grpc: Vec<HealthClient<Channel>>,
    departures: Departures,
}

impl Requests {
    pub(crate) fn new(config: &Config, start: Instant) -> Result<Self, BoxError> {
        if config.rate == 0 || config.http2_connections == 0 || config.grpc_channels == 0 {
            return Err("load needs a rate, HTTP/2 connections and gRPC channels above 0".into());
        }
        let departures = Departures::new(start);
        let kept = |_| Kept::new(config.address, Transport::Http2.name(), departures.clone());
        let channel = |_| channel(config.address, departures.clone());
        Ok(Self {
            address: config.address,
            fresh: pooled(|builder| builder.pool_max_idle_per_host(0)),
            keep_alive: pooled(|builder| builder),
            http2: (0..config.http2_connections).map(kept).collect(),
            grpc: (0..config.grpc_channels)
                .map(channel)
                .collect::<Result<_, _>>()?,
            departures,
        })
    }

    pub(crate) fn departures(&self) -> Vec<Departure> {
        self.departures.list()
    }

    pub(crate) async fn connections(&self) -> BTreeMap<String, u64> {
        let mut pods = BTreeMap::new();
        for kept in &self.http2 {
            if let Some(pod) = kept.pod().await {
                *pods.entry(pod).or_default() += 1;
            }
        }
        pods
    }

    pub(crate) async fn send(
        &self,
        transport: Transport,
        slow: bool,
        number: u64,
    ) -> Result<Answer, Failure> {
        let exchange = async {
            match transport {
                Transport::Fresh => self.pooled(&self.fresh, slow).await,
                Transport::KeepAlive => self.pooled(&self.keep_alive, slow).await,
                Transport::Http2 => self.kept(in_turn(&self.http2, number), slow).await,
                Transport::Grpc => health(in_turn(&self.grpc, number).clone()).await,
            }
        };
        timeout(WITHIN, exchange)
            .await
            .unwrap_or_else(|_| Err((Cause::Timeout, format!("{WITHIN:?}"))))
    }

    async fn pooled(&self, client: &Pooled, slow: bool) -> Result<Answer, Failure> {
        let response = client
            .request(self.request(slow)?)
            .await
            .map_err(|error| unanswered(error.is_connect(), &error))?;
        let pod = judge(response).await?;
        Ok(Answer::Handled { pod })
    }

    async fn kept(&self, connection: &Kept, slow: bool) -> Result<Answer, Failure> {
        let (response, peer) = connection.send(self.request(slow)?).await?;
        let pod = judge(response).await?;
        peer.set(&pod);
        Ok(Answer::Handled { pod })
    }

    fn request(&self, slow: bool) -> Result<Request<Body>, Failure> {
        let path = if slow { "slow" } else { "" };
        Request::get(format!("http://{}/{path}", self.address))
            .body(Empty::new().boxed_unsync())
            .map_err(|error| (Cause::WrongBody, error.to_string()))
    }
}

fn in_turn<T>(list: &[T], number: u64) -> &T {
    &list[(number % list.len() as u64) as usize]
}

/// Which pod handled the request: the answer is `hello from POD` or, to a slow
/// one, `at last from POD`.
async fn judge(response: Response<Incoming>) -> Result<String, Failure> {
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err((Cause::CutShort, chain(&error))),
    };
    let body = String::from_utf8_lossy(&body);
    if !head.status.is_success() {
        let reason = text(&head.headers, "x-readiness");
        let cause = not_a_success(head.status.as_u16(), reason);
        return Err((cause, body.trim_end().to_owned()));
    }
    let pod = body
        .strip_prefix("hello from ")
        .or_else(|| body.strip_prefix("at last from "))
        .and_then(|rest| rest.strip_suffix('\n'));
    match pod {
        Some(pod) if !pod.is_empty() && !pod.contains('\n') => Ok(pod.to_owned()),
        _ => Err((Cause::WrongBody, body.into_owned())),
    }
}

/// A channel that notes each end of its connection, when it opens the next one.
fn channel(address: SocketAddr, departures: Departures) -> Result<HealthClient<Channel>, BoxError> {
    let was_open = AtomicBool::new(false);
    let connector = tower::service_fn(move |_: Uri| {
        if was_open.swap(true, Ordering::Relaxed) {
            departures.add(Transport::Grpc.name(), Peer::default());
        }
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(HealthClient::new(
        endpoint.connect_with_connector_lazy(connector),
    ))
}

/// Asks for readiness. Any answer is a success: the health service is never
/// refused, and says by its answer that a pod drains.
async fn health(mut client: HealthClient<Channel>) -> Result<Answer, Failure> {
    match client.check(HealthCheckRequest::default()).await {
        Ok(response) => Ok(Answer::Health {
            serving: response.get_ref().status() == ServingStatus::Serving,
        }),
        Err(status) => {
            let refused = status.metadata().get("x-readiness");
            if let Some(reason) = refused.and_then(|reason| reason.to_str().ok()) {
                return Err((Cause::Gate(reason.to_owned()), status.to_string()));
            }
            Err(unanswered(is_connect(&status), &status))
        }
    }
}

fn is_connect(error: &(dyn Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::ConnectionRefused;
        }
        source = error.source();
    }
    false
}
