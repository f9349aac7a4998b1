//! Connections that are kept, and when they end.
//!
//! A request that a connection did not send, because it had ended before, leaves on the
//! next one: until then the client still has it, so this is no retry.

use crate::{
    answer::REPLICA,
    client::{Body, Failure, text, unanswered},
};
use http::{Request, Response, header::CONNECTION};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// A connection that ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Departure {
    /// Seconds from the start.
    pub(crate) at: f64,
    pub(crate) transport: &'static str,
    /// Which pod answered on it, where the answers tell.
    pub(crate) pod: Option<String>,
    /// Whether the last answer said `connection: close`, or the stream goodbye.
    #[serde(skip)]
    pub(crate) announced: bool,
}

/// The connections that ended so far.
#[derive(Clone, Debug)]
pub(crate) struct Departures {
    start: Instant,
    list: Arc<Mutex<Vec<Ended>>>,
    unsent: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Ended {
    at: Duration,
    transport: &'static str,
    // A client may read the last answer after the connection has ended.
    peer: Peer,
}

impl Departures {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            list: Arc::default(),
            unsent: Arc::default(),
        }
    }

    pub(crate) fn add(&self, transport: &'static str, peer: Peer) {
        let ended = Ended {
            at: self.start.elapsed(),
            transport,
            peer,
        };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(ended);
    }

    pub(crate) fn list(&self) -> Vec<Departure> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let departure = |ended: &Ended| Departure {
            at: ended.at.as_secs_f64(),
            transport: ended.transport,
            pod: ended.peer.pod(),
            announced: ended.peer.0.announced.load(Ordering::Relaxed),
        };
        list.iter().map(departure).collect()
    }

    /// How many requests had to leave on another connection.
    pub(crate) fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }

    /// The request, if nothing of it was sent.
    fn take_unsent(
        &self,
        mut error: TrySendError<Request<Body>>,
    ) -> Result<Request<Body>, Failure> {
        match error.take_message() {
            Some(request) => {
                self.unsent.fetch_add(1, Ordering::Relaxed);
                Ok(request)
            }
            None => Err(unanswered(false, &error.into_error())),
        }
    }
}

/// What the answers on a connection told about its other end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    pod: Mutex<Option<String>>,
    announced: AtomicBool,
}

impl Peer {
    pub(crate) fn set(&self, pod: &str) {
        let mut name = self.0.pod.lock().unwrap_or_else(PoisonError::into_inner);
        *name = Some(pod.to_owned());
    }

    pub(crate) fn pod(&self) -> Option<String> {
        let name = self.0.pod.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone()
    }

    fn answered(&self, response: &Response<Incoming>) {
        if let Some(replica) = text(response.headers(), REPLICA) {
            self.set(&replica);
        }
        let connection = text(response.headers(), CONNECTION.as_str());
        let announced = connection.is_some_and(|value| value == "close");
        self.announce(announced);
    }

    /// Whether the last answer announced that the connection ends.
    pub(crate) fn announce(&self, announced: bool) {
        self.0.announced.store(announced, Ordering::Relaxed);
    }
}

/// An answer, and the other end of the connection over which it came.
pub(crate) type Answered = (Response<Incoming>, Peer);

/// One HTTP/2 connection, which is opened again when it has ended.
#[derive(Debug)]
pub(crate) struct Kept {
    address: SocketAddr,
    transport: &'static str,
    departures: Departures,
    open: tokio::sync::Mutex<Option<(http2::SendRequest<Body>, Peer)>>,
}

impl Kept {
    pub(crate) fn new(
        address: SocketAddr,
        transport: &'static str,
        departures: Departures,
    ) -> Self {
        Self {
            address,
            transport,
            departures,
            open: tokio::sync::Mutex::default(),
        }
    }

    /// Sends on the connection, or on a new one if it takes no more requests.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Answered, Failure> {
        loop {
            let (mut sender, peer) = self.open().await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    peer.answered(&response);
                    return Ok((response, peer));
                }
                Err(error) => request = self.departures.take_unsent(error)?,
            }
        }
    }

    async fn open(&self) -> Result<(http2::SendRequest<Body>, Peer), Failure> {
        let mut open = self.open.lock().await;
        if let Some((sender, peer)) = &mut *open
            && sender.ready().await.is_ok()
        {
            return Ok((sender.clone(), peer.clone()));
        }
        let stream = connect(self.address).await?;
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| unanswered(true, &error))?;
        let peer = Peer::default();
        drive(driver, &self.departures, self.transport, &peer);
        Ok(open.insert((sender, peer)).clone())
    }

    /// The pod at the other end, if the connection is open.
    pub(crate) async fn pod(&self) -> Option<String> {
        let open = self.open.lock().await;
        let (sender, peer) = open.as_ref()?;
        if sender.is_closed() { None } else { peer.pod() }
    }
}

/// One HTTP/1 connection, which is opened again when it has ended.
#[derive(Debug)]
pub(crate) struct KeptHttp1 {
    address: SocketAddr,
    transport: &'static str,
    departures: Departures,
    open: Option<(http1::SendRequest<Body>, Peer)>,
}

impl KeptHttp1 {
    pub(crate) fn new(
        address: SocketAddr,
        transport: &'static str,
        departures: Departures,
    ) -> Self {
        Self {
            address,
            transport,
            departures,
            open: None,
        }
    }

    /// Sends on the connection, or on a new one if it takes no more requests. The answer
    /// has to be read before the next request.
    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Result<Answered, Failure> {
        loop {
            let (mut sender, peer) = match self.ready().await {
                Some(open) => open,
                None => self.connect().await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    peer.answered(&response);
                    self.open = Some((sender, peer.clone()));
                    return Ok((response, peer));
                }
                Err(error) => request = self.departures.take_unsent(error)?,
            }
        }
    }

    async fn ready(&mut self) -> Option<(http1::SendRequest<Body>, Peer)> {
        let (mut sender, peer) = self.open.take()?;
        sender.ready().await.ok()?;
        Some((sender, peer))
    }

    async fn connect(&self) -> Result<(http1::SendRequest<Body>, Peer), Failure> {
        let stream = connect(self.address).await?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unanswered(true, &error))?;
        let peer = Peer::default();
        drive(driver, &self.departures, self.transport, &peer);
        Ok((sender, peer))
    }

    /// The pod at the other end, if the connection is open.
    pub(crate) fn pod(&self) -> Option<String> {
        let (sender, peer) = self.open.as_ref()?;
        if sender.is_closed() { None } else { peer.pod() }
    }
}

/// A stream that sends without delay.
pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connect
        .await
        .map_err(|error: io::Error| unanswered(true, &error))
}

fn drive<D>(driver: D, departures: &Departures, transport: &'static str, peer: &Peer)
where
    D: Future<Output: Send> + Send + 'static,
{
    let (departures, peer) = (departures.clone(), peer.clone());
    tokio::spawn(async move {
        // How it ended is seen at its requests.
        let _ = driver.await;
        departures.add(transport, peer);
    });
}
