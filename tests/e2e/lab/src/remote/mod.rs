//! Load on a deployed service, the deploy example, which another program starts and
//! breaks. `rollout load CONFIG` sends until its standard input ends, and then prints
//! the outcomes of the requests, as JSON.

mod requests;

use crate::{
    BoxError,
    client::Failure,
    kept::Departure,
    load::open_loop,
    tally::{Cause, Quantiles},
};
use fastrand::Rng;
use requests::{Answer, Requests, Transport};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, stdin},
    sync::watch,
    time::Instant,
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    address: SocketAddr,
    /// Requests per second, of all transports together.
    rate: u32,
    seed: u64,
    /// How many of a hundred HTTP requests are answered after two seconds.
    slow_percent: u32,
    /// HTTP/2 connections that are kept, each sending in its turn.
    http2_connections: usize,
    /// Channels of gRPC, each with a connection of its own.
    grpc_channels: usize,
}

/// The outcome of one request.
struct Outcome {
    due: Duration,
    lag: Duration,
    /// From the time when the request left to its end.
    took: Duration,
    transport: Transport,
    slow: bool,
    result: Result<Answer, Failure>,
}

#[derive(Serialize)]
struct Failed {
    /// Seconds from the start at which the request was due.
    due: f64,
    /// Seconds from the time when it left to its failure.
    took: f64,
    transport: &'static str,
    cause: String,
    detail: String,
}

#[derive(Default, Serialize)]
struct Count {
    sent: u64,
    failed: u64,
}

/// The report. Times are seconds from the start.
#[derive(Serialize)]
struct Report {
    /// Seconds of Unix time.
    started: f64,
    lasted: f64,
    transports: BTreeMap<&'static str, Count>,
    causes: BTreeMap<String, u64>,
    failures: Vec<Failed>,
    /// Requests that each pod handled.
    handled: BTreeMap<String, u64>,
    /// gRPC health checks that were answered with NOT_SERVING.
    not_serving: u64,
    /// Connections that ended, in that order.
    departures: Vec<Departure>,
    /// Open HTTP/2 connections at the end, by the pod that answered last.
    connections: BTreeMap<String, u64>,
    /// How late requests left: the median, the 99th percentile and the largest.
    lag_ms: [f64; 3],
    #[serde(skip)]
    lag: Quantiles,
}

impl Report {
    fn add(&mut self, outcome: Outcome) {
        self.lag.add(outcome.lag);
        let transport = outcome.transport.name();
        let count = self.transports.entry(transport).or_default();
        count.sent += 1;
        match outcome.result {
            Ok(Answer::Handled { pod }) => *self.handled.entry(pod).or_default() += 1,
            Ok(Answer::Health { serving }) => self.not_serving += u64::from(!serving),
            Err((cause, detail)) => {
                count.failed += 1;
                let cause = cause.to_string();
                *self.causes.entry(cause.clone()).or_default() += 1;
                let slow = if outcome.slow { "slow request: " } else { "" };
                self.failures.push(Failed {
                    due: outcome.due.as_secs_f64(),
                    took: outcome.took.as_secs_f64(),
                    transport,
                    cause,
                    detail: format!("{slow}{detail}"),
                });
            }
        }
    }
}

pub(crate) async fn run(config: Config) -> Result<(), BoxError> {
    let (stop, stopped) = watch::channel(false);
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let start = Instant::now();
    let requests = Arc::new(Requests::new(&config, start)?);
    let mut report = Report {
        started,
        lasted: 0.0,
        transports: BTreeMap::new(),
        causes: BTreeMap::new(),
        failures: Vec::new(),
        handled: BTreeMap::new(),
        not_serving: 0,
        departures: Vec::new(),
        connections: BTreeMap::new(),
        lag_ms: [0.0; 3],
        lag: Quantiles::default(),
    };
    // The load ends with its driver.
    tokio::spawn(async move {
        // An error is an end as well.
        let _ = stdin().read_to_end(&mut Vec::new()).await;
        // The other end is dropped when the load has ended by itself.
        let _ = stop.send(true);
    });
    let mut rng = Rng::with_seed(config.seed);
    let send = |number, due| {
        let transport = Transport::draw(&mut rng);
        let slow = rng.u32(..100) < config.slow_percent;
        let requests = Arc::clone(&requests);
        async move {
            let left = Instant::now();
            let result = requests.send(transport, slow, number).await;
            Outcome {
                due,
                lag: (left - start).saturating_sub(due),
                took: left.elapsed(),
                transport,
                slow,
                result,
            }
        }
    };
    let done = |outcome| report.add(outcome);
    open_loop(config.rate, start, stopped, send, done).await?;
    report.lasted = start.elapsed().as_secs_f64();
    report.departures = requests.departures();
    report.connections = requests.connections().await;
    report.lag_ms = report.lag.summary();
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// The cause of an answer of HTTP that is no success. No balancer is between,
/// so the gate or a handler made it.
fn not_a_success(status: u16, reason: Option<String>) -> Cause {
    reason.map_or(Cause::Application(status), Cause::Gate)
}
