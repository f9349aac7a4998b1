//! Clients that each keep a connection, and wait a random time before each request.
//! No client sends a request twice.

use super::{finding::Side, streams};
use crate::{
    BoxError,
    answer::{REQUEST_ID, Received},
    client::{self, Body, Failure, Kind, WITHIN, judge},
    kept::{Departures, Kept, KeptHttp1},
    tally::{Cause, Outcome, Tally},
};
use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// Of each protocol. So many that each replica that drains has a hundred.
pub(super) const CONNECTIONS: usize = 240;
/// One of so many HTTP/2 connections has streams as well.
pub(super) const STREAMS_ON_ONE_IN: usize = 4;
/// In seconds, between two requests.
const GAP: (f64, f64) = (0.2, 3.0);
/// In seconds.
const STREAM: (f64, f64) = (0.5, 1.5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    /// Server-sent events, over HTTP/1.
    Events,
    WebSocket,
    /// Streaming calls of tonic, on one channel for each client.
    Grpc,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
            Self::Events => "server-sent events",
            Self::WebSocket => "websockets",
            Self::Grpc => "gRPC streams",
        }
    }

    /// Whether the clients have streams that do not end by themselves.
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Events | Self::WebSocket | Self::Grpc)
    }
}

pub(super) struct Load {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    pub(super) seed: u64,
    pub(super) start: Instant,
    pub(super) stop: watch::Receiver<bool>,
}

impl Load {
    /// Sends until it is told to stop, and waits for the answers.
    pub(super) async fn run(self) -> Result<Side, BoxError> {
        let departures = Departures::new(self.start);
        let (outcomes, collect) = mpsc::unbounded_channel();
        let tally;
        let list;
        let mut pods = Vec::new();
        if self.protocol.is_stream() {
            let clients = self.open_streams(&departures, &outcomes);
            drop(outcomes);
            tally = all(collect).await;
            list = departures.list();
            pods = clients.join_all().await;
        } else {
            let clients = self.send_requests(&departures, &outcomes);
            drop(outcomes);
            tally = all(collect).await;
            // Before the connections are dropped.
            list = departures.list();
            for connection in clients.join_all().await {
                pods.push(connection.pod().await);
            }
        }
        let mut at_end = BTreeMap::new();
        for pod in pods.into_iter().flatten() {
            *at_end.entry(pod).or_default() += 1;
        }
        Ok(Side {
            protocol: self.protocol,
            tally,
            departures: list,
            unsent: departures.unsent(),
            at_end,
        })
    }

    /// Otherwise the clients of several protocols would connect together, and each
    /// protocol to a replica of its own.
    fn rng(&self) -> Rng {
        Rng::with_seed(self.seed ^ ((self.protocol as u64) << 32))
    }

    fn send_requests(
        &self,
        departures: &Departures,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> JoinSet<Connection> {
        let mut clients = JoinSet::new();
        let mut rng = self.rng();
        let mut spawn = |name, connection| {
            let client = Client {
                name,
                connection,
                rng: rng.fork(),
                start: self.start,
                stop: self.stop.clone(),
                outcomes: outcomes.clone(),
            };
            clients.spawn(client.run());
        };
        let (address, transport) = (self.address, self.protocol.name());
        for number in 0..CONNECTIONS {
            let departures = departures.clone();
            if self.protocol == Protocol::Http1 {
                let kept = KeptHttp1::new(address, transport, departures);
                spawn(format!("http1-{number}"), Connection::Http1(kept));
                continue;
            }
            let kept = Arc::new(Kept::new(address, transport, departures));
            if number % STREAMS_ON_ONE_IN == 0 {
                let streams = Connection::Http2Streams(Arc::clone(&kept));
                spawn(format!("streams-{number}"), streams);
            }
            spawn(format!("http2-{number}"), Connection::Http2(kept));
        }
        clients
    }

    fn open_streams(
        &self,
        departures: &Departures,
        outcomes: &mpsc::UnboundedSender<Outcome>,
    ) -> JoinSet<Option<String>> {
        let mut rng = self.rng();
        let client = |_| streams::Client {
            protocol: self.protocol,
            address: self.address,
            rng: rng.fork(),
            start: self.start,
            stop: self.stop.clone(),
            departures: departures.clone(),
            outcomes: outcomes.clone(),
        };
        let clients = (0..CONNECTIONS).map(client);
        clients.map(streams::Client::run).collect()
    }
}

async fn all(mut outcomes: mpsc::UnboundedReceiver<Outcome>) -> Tally {
    let mut tally = Tally::default();
    while let Some(outcome) = outcomes.recv().await {
        tally.add(outcome);
    }
    tally
}

enum Connection {
    Http1(KeptHttp1),
    Http2(Arc<Kept>),
    /// A connection that has requests as well.
    Http2Streams(Arc<Kept>),
}

impl Connection {
    fn draw(&self, rng: &mut Rng) -> Kind {
        match self {
            Self::Http1(_) | Self::Http2(_) => Kind::Upload(Duration::ZERO),
            Self::Http2Streams(_) => Kind::Stream(between(STREAM, rng)),
        }
    }

    fn protocol(&self) -> client::Protocol {
        match self {
            Self::Http1(_) => client::Protocol::KeepAlive,
            Self::Http2(_) | Self::Http2Streams(_) => client::Protocol::Http2,
        }
    }

    async fn exchange(&mut self, kind: Kind, id: &str) -> Result<(), Failure> {
        let path = kind.path();
        let request = match self {
            Self::Http1(_) => Request::post(path).header("host", "app"),
            Self::Http2(_) => Request::post(format!("http://app{path}")),
            Self::Http2Streams(_) => Request::get(format!("http://app{path}")),
        };
        let mut upload = None;
        let body: Body = match kind {
            Kind::Upload(_) => {
                let text = Bytes::from(format!("{id} ").repeat(20));
                upload.insert(Received::default()).add(&text);
                Full::new(text).boxed_unsync()
            }
            _ => Empty::new().boxed_unsync(),
        };
        let request = request
            .header(REQUEST_ID, id)
            .body(body)
            .map_err(|error| (Cause::WrongBody, error.to_string()))?;
        let (response, _) = match self {
            Self::Http1(kept) => kept.send(request).await?,
            Self::Http2(kept) | Self::Http2Streams(kept) => kept.send(request).await?,
        };
        judge(response, id, upload.as_ref()).await
    }

    /// The replica at the other end, if the connection is open.
    async fn pod(&self) -> Option<String> {
        match self {
            Self::Http1(kept) => kept.pod(),
            Self::Http2(kept) => kept.pod().await,
            // The connection is counted by its requests.
            Self::Http2Streams(_) => None,
        }
    }
}

struct Client {
    name: String,
    connection: Connection,
    rng: Rng,
    start: Instant,
    stop: watch::Receiver<bool>,
    outcomes: mpsc::UnboundedSender<Outcome>,
}

impl Client {
    async fn run(mut self) -> Connection {
        for number in 0_u64.. {
            let due = Instant::now() + between(GAP, &mut self.rng);
            tokio::select! { biased;
                // Also when the driver has ended.
                _ = self.stop.changed() => break,
                () = sleep_until(due) => {}
            }
            let kind = self.connection.draw(&mut self.rng);
            let id = format!("{}-{number}", self.name);
            let lag = due.elapsed();
            let exchange = self.connection.exchange(kind, &id);
            let result = match timeout(WITHIN, exchange).await {
                Ok(result) => result,
                Err(_) => Err((Cause::Timeout, format!("{WITHIN:?}"))),
            };
            let outcome = Outcome {
                due: due - self.start,
                lag,
                latency: due.elapsed(),
                what: kind.over(self.connection.protocol()),
                failure: result.err(),
            };
            // The receiver outlives the clients.
            let _ = self.outcomes.send(outcome);
        }
        self.connection
    }
}

pub(super) fn between((from, to): (f64, f64), rng: &mut Rng) -> Duration {
    Duration::from_secs_f64(from + (to - from) * rng.f64())
}
