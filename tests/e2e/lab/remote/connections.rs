//! HTTP/2 connections that are kept, and when they end.

use crate::client::{Failure, unanswered};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpStream, time::Instant};

pub(crate) type Sender = SendRequest<Empty<Bytes>>;

/// A connection that ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Departure {
    /// Seconds from the start.
    at: f64,
    transport: &'static str,
    /// Which pod answered on it, where the answers tell.
    pod: Option<String>,
}

/// The connections that ended so far.
#[derive(Clone, Debug)]
pub(crate) struct Departures {
    start: Instant,
    list: Arc<Mutex<Vec<Departure>>>,
}

impl Departures {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            list: Arc::default(),
        }
    }

    pub(crate) fn add(&self, transport: &'static str, pod: Option<String>) {
        let departure = Departure {
            at: self.start.elapsed().as_secs_f64(),
            transport,
            pod,
        };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(departure);
    }

    pub(crate) fn list(&self) -> Vec<Departure> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }
}

/// The pod that answered last on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pod(Arc<Mutex<Option<String>>>);

impl Pod {
    pub(crate) fn set(&self, pod: &str) {
        let mut name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *name = Some(pod.to_owned());
    }

    pub(crate) fn get(&self) -> Option<String> {
        let name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone()
    }
}

/// One HTTP/2 connection, which is opened again when it has ended.
#[derive(Debug)]
pub(crate) struct Kept {
    address: SocketAddr,
    transport: &'static str,
    departures: Departures,
    open: tokio::sync::Mutex<Option<(Sender, Pod)>>,
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

    /// The connection if it takes requests, or else a new one.
    pub(crate) async fn open(&self) -> Result<(Sender, Pod), Failure> {
        let mut open = self.open.lock().await;
        if let Some((sender, pod)) = &mut *open {
            if sender.ready().await.is_ok() {
                return Ok((sender.clone(), pod.clone()));
            }
        }
        let connection = self.connect().await?;
        Ok(open.insert(connection).clone())
    }

    async fn connect(&self) -> Result<(Sender, Pod), Failure> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| unanswered(true, &error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| unanswered(true, &error))?;
        let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| unanswered(true, &error))?;
        let pod = Pod::default();
        let (last, departures, transport) = (pod.clone(), self.departures.clone(), self.transport);
        tokio::spawn(async move {
            // How it ended is seen at its requests.
            let _ = driver.await;
            departures.add(transport, last.get());
        });
        Ok((sender, pod))
    }

    /// The pod at the other end, if the connection is open.
    pub(crate) async fn pod(&self) -> Option<String> {
        let open = self.open.lock().await;
        let (sender, pod) = open.as_ref()?;
        if sender.is_closed() { None } else { pod.get() }
    }
}
