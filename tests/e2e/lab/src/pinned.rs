//! Clients that each keep one connection, through a balancer that passes on bytes: a
//! client stays with its replica until the replica ends the connection.

use crate::{
    BoxError,
    client::{Failure, judge, unanswered},
    kept,
    load::Load,
    tally::{Cause, Outcome, Tally, What},
};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

type Connection = SendRequest<Empty<Bytes>>;

/// So many that each sends a few requests in a drain delay.
pub(crate) const CONNECTIONS: u64 = 400;

const WHAT: What = What {
    protocol: "HTTP/1 over TCP",
    kind: "plain request",
    quick: true,
    apart: false,
};

/// Sends from `start` until `stop`, on each connection in turn, and waits for the
/// answers.
pub(crate) async fn run(
    load: Load,
    address: SocketAddr,
    start: Instant,
    stop: watch::Receiver<bool>,
) -> Result<Tally, BoxError> {
    let (outcomes, mut collect) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    let queues: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (queue, requests) = mpsc::unbounded_channel();
            clients.spawn(client(address, start, requests, outcomes.clone()));
            queue
        })
        .collect();
    drop(outcomes);
    let mut tally = Tally::default();
    for (number, queue) in (0_u64..).zip(queues.iter().cycle()) {
        let due = load.due(number);
        sleep_until(start + due).await;
        if *stop.borrow() {
            break;
        }
        queue.send((due, format!("{:08x}-{number}", load.seed)))?;
        while let Ok(outcome) = collect.try_recv() {
            tally.add(outcome);
        }
    }
    drop(queues);
    while let Some(outcome) = collect.recv().await {
        tally.add(outcome);
    }
    while let Some(client) = clients.join_next().await {
        client?;
    }
    Ok(tally)
}

async fn client(
    address: SocketAddr,
    start: Instant,
    mut requests: mpsc::UnboundedReceiver<(Duration, String)>,
    outcomes: mpsc::UnboundedSender<Outcome>,
) {
    let mut connection = None;
    while let Some((due, id)) = requests.recv().await {
        let lag = start.elapsed().saturating_sub(due);
        let exchange = exchange(&mut connection, address, &id);
        let result = match timeout(Duration::from_secs(20), exchange).await {
            Ok(result) => result,
            Err(_) => Err((Cause::Timeout, String::new())),
        };
        if result.is_err() {
            connection = None;
        }
        let outcome = Outcome {
            due,
            lag,
            latency: start.elapsed().saturating_sub(due),
            what: WHAT,
            failure: result.err(),
        };
        // The receiver outlives the clients.
        let _ = outcomes.send(outcome);
    }
}

async fn exchange(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    id: &str,
) -> Result<(), Failure> {
    let kept = match connection.take() {
        // The server may have closed it since the last answer.
        Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
        None => None,
    };
    let connection = connection.insert(match kept {
        Some(connection) => connection,
        None => connect(address).await?,
    });
    let failed = |error: hyper::Error| unanswered(false, &error);
    let request = Request::get("/plain")
        .header("host", "app")
        .header(crate::answer::REQUEST_ID, id)
        .body(Empty::new())
        .map_err(|error| (Cause::WrongBody, error.to_string()))?;
    let response = connection.send_request(request).await.map_err(failed)?;
    judge(response, id, None).await
}

async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = kept::connect(address).await?;
    let (connection, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unanswered(true, &error))?;
    // The sender sees the end of the connection.
    tokio::spawn(driver);
    Ok(connection)
}
