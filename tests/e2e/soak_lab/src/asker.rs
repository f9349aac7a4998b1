//! Clients of an admin listener: probes, waiting probes, scrapes and event streams.

use crate::{Error, connection::Connection};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than a probe waits.
const HANG: Duration = Duration::from_secs(60);

const PATHS: [&str; 7] = [
    "/readyz",
    "/readyz?wait=1",
    "/readyz?wait=1&until=red",
    "/readyz/search?verbose",
    "/statusz",
    "/metrics",
    "/livez",
];

/// Sends a few requests, or follows the events for a while.
pub(crate) async fn visit(connection: &mut Connection) -> Result<(), Error> {
    if fastrand::u8(..3) == 0 {
        let mut events = Events::open(connection).await?;
        if fastrand::bool() {
            // The buffers fill meanwhile.
            sleep(Duration::from_millis(fastrand::u64(..1000))).await;
        }
        let time = Duration::from_millis(fastrand::u64(..1000));
        return match timeout(time, events.follow(u64::MAX)).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        };
    }
    for _ in 0..fastrand::u8(1..10) {
        let path = fastrand::choice(PATHS).unwrap_or(PATHS[0]);
        let time = Duration::from_millis(fastrand::u64(..200));
        let gives_up = fastrand::u8(..10) == 0;
        let time = if gives_up { time } else { HANG };
        match timeout(time, get(connection, path)).await {
            Ok(answered) => answered?,
            Err(_) if gives_up => return Ok(()),
            Err(_) => return Err(format!("{path}: no answer in {HANG:?}").into()),
        }
    }
    Ok(())
}

async fn get(connection: &mut Connection, path: &str) -> Result<(), Error> {
    let response = connection.send(Method::GET, path, Bytes::new()).await?;
    let status = response.status();
    response.into_body().collect().await?;
    match status {
        StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => Ok(()),
        _ => Err(format!("{path}: {status}").into()),
    }
}

/// An open event stream.
pub(crate) struct Events {
    body: Incoming,
    line: Vec<u8>,
    /// The newest version that an event had.
    pub(crate) version: u64,
}

impl Events {
    pub(crate) async fn open(connection: &mut Connection) -> Result<Self, Error> {
        let response = connection.send(Method::GET, "/statusz/events", Bytes::new());
        let response = response.await?;
        if response.status() != StatusCode::OK {
            return Err(format!("the event stream: {}", response.status()).into());
        }
        Ok(Self {
            body: response.into_body(),
            line: Vec::new(),
            version: 0,
        })
    }

    /// Reads until an event has this version or a newer one.
    ///
    /// # Errors
    ///
    /// If the stream ends.
    pub(crate) async fn follow(&mut self, version: u64) -> Result<(), Error> {
        while self.version < version {
            let frame = self.body.frame().await.ok_or("the event stream ended")?;
            for &byte in frame?.data_ref().into_iter().flatten() {
                if byte == b'\n' {
                    self.read_line()?;
                    self.line.clear();
                } else {
                    self.line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// The id of an event is `INSTANCE.VERSION`.
    fn read_line(&mut self) -> Result<(), Error> {
        if let Some(id) = self.line.strip_prefix(b"id: ") {
            let (_, version) = std::str::from_utf8(id)?.split_once('.').ok_or("an id")?;
            let version = version.parse()?;
            if version < self.version {
                return Err("the versions of the events go back".into());
            }
            self.version = version;
        }
        Ok(())
    }
}
