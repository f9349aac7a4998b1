use crate::support::{soon, whole};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// An HTTP/1 connection on which the test writes and reads bytes.
pub(crate) struct Raw<S>(BufReader<S>);

impl Raw<TcpStream> {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) async fn write(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads a response with its body.
    pub(crate) async fn response(&mut self) -> (u16, String) {
        let status = self.line().await;
        let mut length = 0;
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        let status = status.split(' ').nth(1).expect("a status line");
        (status.parse().unwrap(), String::from_utf8(body).unwrap())
    }

    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a request on this connection, and keeps it open.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.write(&head(path)).await;
        self.response().await
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A connection that the server closes with unread bytes is reset.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        rest
    }

    pub(crate) async fn is_closed_without_a_word(&mut self) {
        let rest = self.rest().await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

pub(crate) fn head(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    Raw::open(address).await.get(path).await
}

pub(crate) async fn status(address: SocketAddr, path: &str) -> u16 {
    get(address, path).await.0
}

/// Sends a request without a runtime.
pub(crate) fn blocking_get(address: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) type Sender = http2::SendRequest<Empty<Bytes>>;

/// Opens an HTTP/2 connection without upgrade, and returns the task that drives it.
pub(crate) async fn http2(
    address: SocketAddr,
) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    http2_on(TcpStream::connect(address).await.unwrap()).await
}

pub(crate) async fn http2_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

pub(crate) fn request(path: &str) -> http::request::Builder {
    Request::get(format!("http://localhost{path}"))
}

pub(crate) async fn send(sender: &mut Sender, request: http::request::Builder) -> Response<String> {
    soon(sender.ready()).await.unwrap();
    let request = request.body(Empty::new()).unwrap();
    whole(soon(sender.send_request(request)).await.unwrap()).await
}
