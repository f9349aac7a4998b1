//! A client of the event stream.

use crate::support::{assert_clock_runs, soon};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{net::SocketAddr, path::PathBuf};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower_readiness::server::{Address, AdminListener, AdminServer};

pub(crate) const EVENTS: &str = "/statusz/events";

/// An event as `EventSource` would deliver it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    fn parse(text: &str) -> Self {
        let mut event = Self {
            kind: String::new(),
            id: None,
            data: Value::Null,
        };
        for line in text.lines() {
            match line.split_once(": ").unwrap() {
                ("event", kind) => event.kind = kind.to_owned(),
                ("id", id) => event.id = Some(id.to_owned()),
                ("data", data) => {
                    assert!(event.data.is_null(), "the data has one line: {text}");
                    event.data = serde_json::from_str(data).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        event
    }

    pub(crate) fn version(&self) -> u64 {
        self.data["version"].as_u64().unwrap()
    }

    /// The names of the subsystems that it has.
    pub(crate) fn subsystems(&self) -> Vec<&str> {
        let subsystems = self.data["subsystems"].as_array().unwrap();
        let names = subsystems.iter().map(|it| it["name"].as_str().unwrap());
        names.collect()
    }

    /// Its transitions, as `name from to`.
    pub(crate) fn history(&self) -> Vec<String> {
        let transitions = self.data["history"].as_array().into_iter().flatten();
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let words = transitions.map(|it| {
            let subject = it["name"].as_str().or(it["kind"].as_str()).unwrap();
            format!("{subject} {} {}", word(&it["from"]), word(&it["to"]))
        });
        words.collect()
    }
}

/// An open stream.
pub(crate) struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// Returns the next event, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = Event::parse(event);
                self.text = rest.to_owned();
                return Some(event);
            }
            let Some(frame) = soon(self.body.frame()).await else {
                assert_eq!(self.text, "", "the stream ends between two events");
                return None;
            };
            let bytes = frame.unwrap().into_data().unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// Returns the next event that is no tick.
    pub(crate) async fn next_update(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.kind != "tick" {
                return event;
            }
        }
    }
}

pub(crate) fn address(server: &AdminServer) -> SocketAddr {
    let port = server.local_addr().socket_addr().unwrap().port();
    ([127, 0, 0, 1], port).into()
}

/// An admin listener on a unix socket, for tests on the paused clock.
pub(crate) struct Local {
    server: AdminServer,
    folder: tempfile::TempDir,
}

impl Local {
    pub(crate) async fn serve(listener: AdminListener) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let server = listener.serve(&*path).await.unwrap();
        Self { server, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }
}

impl std::ops::Deref for Local {
    type Target = AdminServer;

    fn deref(&self) -> &AdminServer {
        &self.server
    }
}

/// Sends a request on a connection of its own.
pub(crate) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::request::Builder,
) -> Response<Incoming> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    soon(sender.send_request(request)).await.unwrap()
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "localhost")
}

pub(crate) async fn ask(
    server: &AdminServer,
    request: http::request::Builder,
) -> Response<Incoming> {
    if let Address::Unix(path) = server.local_addr() {
        let stream = tokio::net::UnixStream::connect(path).await.unwrap();
        return send(stream, request).await;
    }
    assert_clock_runs();
    let stream = TcpStream::connect(address(server)).await.unwrap();
    send(stream, request).await
}

/// Opens a stream that goes on after the event with this id.
pub(crate) async fn resume(server: &AdminServer, id: &str) -> Events {
    of(ask(server, get(EVENTS).header("last-event-id", id)).await)
}

pub(crate) async fn open(server: &AdminServer) -> Events {
    of(ask(server, get(EVENTS)).await)
}

pub(crate) fn of(response: Response<Incoming>) -> Events {
    assert_eq!(response.status(), 200);
    let header = |name| value(response.headers(), name);
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");
    Events {
        body: response.into_body(),
        text: String::new(),
    }
}

pub(crate) fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    crate::support::value(headers, name)
}
