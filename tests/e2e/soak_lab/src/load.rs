//! The clients that send requests as fast as they are answered.

use crate::{Error, connection::Connection};
use bytes::Bytes;
use http::{Method, StatusCode, header::CONNECTION};
use http_body_util::BodyExt;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

const CLIENTS: usize = 16;

/// Longer than the longest hold and the longest freeze together.
const HANG: Duration = Duration::from_secs(60);

/// How many errors are printed.
const PRINTED: u64 = 20;

const BODY: &[u8] = &[b'x'; 64 << 10];

/// The answers that the clients got.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) admitted: Cell<u64>,
    pub(crate) given_up: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    pub(crate) refused: RefCell<BTreeMap<String, u64>>,
}

impl Tally {
    pub(crate) fn fail(&self, error: &str) {
        self.failed.set(self.failed.get() + 1);
        if self.failed.get() <= PRINTED {
            eprintln!("a client: {error}");
        }
    }

    fn refuse(&self, reason: &str) {
        let mut refused = self.refused.borrow_mut();
        *refused.entry(reason.to_owned()).or_default() += 1;
    }
}

/// Clients that run until they are told to end.
pub(crate) struct Load {
    ends: Rc<Cell<bool>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients. The caller runs in a [`LocalSet`](tokio::task::LocalSet).
    pub(crate) fn start(address: SocketAddr, tally: &Rc<Tally>) -> Self {
        let ends = Rc::new(Cell::new(false));
        let client = |_| {
            let (tally, ends) = (Rc::clone(tally), Rc::clone(&ends));
            tokio::task::spawn_local(async move {
                while !ends.get() {
                    if let Err(error) = visit(address, &tally, &ends).await {
                        tally.fail(&error.to_string());
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { ends, clients }
    }

    pub(crate) async fn end(self) -> Result<(), Error> {
        self.ends.set(true);
        for client in self.clients {
            client.await?;
        }
        Ok(())
    }
}

/// Sends requests on one connection.
async fn visit(address: SocketAddr, tally: &Tally, ends: &Cell<bool>) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..fastrand::u32(1..200) {
        if ends.get() {
            break;
        }
        let (method, path, body) = match fastrand::u8(..20) {
            0 => (Method::POST, "/", Bytes::from_static(BODY)),
            1..5 => (Method::GET, "/search", Bytes::new()),
            _ => (Method::GET, "/", Bytes::new()),
        };
        let exchange = exchange(&mut connection, method, path, body, tally);
        let gives_up = fastrand::u8(..50) == 0;
        let most = if gives_up {
            Duration::from_millis(fastrand::u64(..10))
        } else {
            HANG
        };
        match timeout(most, exchange).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => break,
            Ok(Err(error)) => return Err(format!("{path}: {error}").into()),
            Err(_) if gives_up => {
                tally.given_up.set(tally.given_up.get() + 1);
                break;
            }
            Err(_) => return Err(format!("{path}: no answer in {HANG:?}").into()),
        }
    }
    Ok(())
}

/// Returns whether the connection stays open.
async fn exchange(
    connection: &mut Connection,
    method: Method,
    path: &str,
    body: Bytes,
    tally: &Tally,
) -> Result<bool, Error> {
    let (head, body) = connection.send(method, path, body).await?.into_parts();
    body.collect().await?;
    let reason = head.headers.get("x-readiness");
    match (head.status, reason) {
        (StatusCode::OK, None) => tally.admitted.set(tally.admitted.get() + 1),
        (StatusCode::SERVICE_UNAVAILABLE, Some(reason)) => tally.refuse(reason.to_str()?),
        (status, _) => return Err(format!("an answer {status} without a reason").into()),
    }
    let close = head.headers.get(CONNECTION);
    Ok(close.is_none_or(|value| value != "close"))
}
