//! A connection of a client.

use crate::Error;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::{net::TcpStream, task::JoinHandle};

/// An HTTP/1 connection, which ends at once when it is dropped.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driven: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driven = tokio::spawn(async {
            // The request that fails has the error.
            let _ = connection.await;
        });
        Ok(Self { sender, driven })
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "localhost").body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driven.abort();
    }
}
