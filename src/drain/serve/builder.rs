use super::{
    super::shutdown::Shutdown,
    connection::{self, ConnectionSettings},
    slots::Slots,
};
use crate::{
    accept::{ConnectionTasks, Listener},
    connections::Connections,
    registry::{Readiness, SettingError, bounded, not_zero},
};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use std::{
    error::Error,
    future::{Future, IntoFuture, Ready, ready},
    io,
    pin::{Pin, pin},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, sleep},
};
use tower_service::Service;

/// The limits of one connection. All but those of the PING are the defaults of hyper 1.12 and
/// h2 0.4.20, set here so that another version of these cannot raise them.
const MAX_HTTP1_BUFFER: usize = 8192 + 4096 * 100;
const MAX_STREAMS: u32 = 200;
const MAX_HEADER_LIST: u32 = 16 << 10;
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 1024;
const MAX_SEND_BUFFER: usize = 400 << 10;

/// How often an HTTP/2 peer gets a PING, and how long it has to acknowledge it. Without it, the
/// connection of a peer that has lost its network stays open until the drain. The interval
/// is the time that common load balancers keep an idle connection; the timeout is hyper's
/// default.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How many connections are accepted at `Closing`: as many as Linux keeps in a backlog by
/// default (listen(2), since 5.4), so that clients that go on connecting do not delay the end.
const BACKLOG: usize = 4096;

/// What an accepted connection is used as, if no handshake is set: itself.
type Plain<C> = fn(C) -> Ready<io::Result<C>>;

/// Serves HTTP/1 and HTTP/2 on `listener`, and retires the connections one after the
/// other while the process drains.
///
/// `make_service` is called with the address of the peer, and makes the service of one
/// connection: `into_make_service()` of an axum router, or
/// `into_make_service_with_connect_info::<SocketAddr>()`. The server clones it for each
/// connection before it accepts the next, so a clone must be cheap and must not panic; the
/// call runs in the task of the connection.
///
/// ```
/// use axum::{Router, routing::get};
/// use std::time::Duration;
/// use tower_readiness::{Readiness, ReadinessLayer, Subsystem, drain};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::builder()
///     .subsystem(Subsystem::new("listener"))
///     .build()?;
/// let app = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(ReadinessLayer::new(&readiness).count_in_flight());
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// readiness.reporter("listener")?.leave_ready();
/// # #[cfg(feature = "signal")]
/// let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
/// # #[cfg(not(feature = "signal"))]
/// # let shutdown = readiness.shutdown().build()?;
/// # readiness.advance(tower_readiness::Phase::Closing);
/// let server = drain::serve(&readiness, listener, app.into_make_service())
///     .with_graceful_shutdown(shutdown);
/// readiness.run(server).await??;
/// # Ok(())
/// # }
/// ```
pub fn serve<L: Listener, M>(
    readiness: &Readiness,
    listener: L,
    make_service: M,
) -> Serve<L, M, Plain<L::Connection>> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    // A kept connection may wait for its next request.
    http.http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HTTP1_BUFFER);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    Serve {
        listener,
        make_service,
        handshake: |connection| ready(Ok(connection)),
        shutdown: None,
        max_connections: usize::MAX,
        settings: ConnectionSettings {
            readiness: readiness.clone(),
            connections: readiness.connections(),
            http,
            header_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
        },
    }
}

/// A server; built by [`serve`]. It does nothing until it is awaited.
///
/// # What it bounds
///
/// | | default |
/// |---|---|
/// | [TLS handshake](Self::handshake_timeout) | 10 s |
/// | [head of the first request](Self::header_timeout) | 30 s |
/// | [connections](Self::max_connections) | as many as there are file descriptors |
/// | an error of `accept`, as without file descriptors | an eighth of the connections that have been idle for a second end, 32 at most (nginx does the same): first those that only read on after their last answer, then those that have sent no request, then the longest idle; another try after 100 ms, or when a connection ends; the first is logged |
/// | the last answer of a connection that ends for another | 5 s without a byte, 30 s in all |
/// | HTTP/1: head and read buffer | 408 KiB, 100 fields |
/// | HTTP/2: head | 16 KiB |
/// | HTTP/2: open streams | 200 |
/// | HTTP/2: streams that the peer reset and the server has not seen | 20 |
/// | HTTP/2: streams that the server reset for errors of the peer | 1,024, then GOAWAY |
/// | HTTP/2: unsent bytes of a stream | 400 KiB |
/// | HTTP/2: a PING without acknowledgement | 20 s; one is sent each 60 s |
/// | reading on after the last answer | 5 s without a byte, 30 s in all |
///
/// An idle connection takes about 18 KiB of memory over HTTP/1, and 21 KiB over HTTP/2
/// (10,000 kept connections to the example for hyper, by the resident set of the process).
///
/// When a connection has ended, the server sends FIN, and reads and discards until the
/// peer has ended too. Otherwise the kernel would answer late bytes (such as the
/// WINDOW_UPDATE of a slow HTTP/2 client) with RST, which destroys the part of an answer
/// that the client has not read yet (RFC 9112, section 9.6).
///
/// A connection with an open request is never ended for another, and neither is one of
/// HTTP/2 with a tunnel (`CONNECT`), even after the end of the tunnel. Peers that send many
/// requests and read no answer can therefore use up the file descriptors:
/// [`max_connections`](Self::max_connections) leaves some to the rest of the process, and an
/// admin listener, which has its own, answers its probes.
///
/// # What ends it
///
/// At [`Closing`](crate::Phase::Closing) it accepts the connections that wait in the backlog of
/// the kernel, 4,096 at most, and stops listening: the kernel would reset them, with the
/// requests that they have sent. Those beyond [`max_connections`](Self::max_connections), and
/// those after an error of `accept`, are reset. A connection that has sent no request ends 100 ms
/// after its accept, or at once if it is older.
///
/// # Cancel safety
///
/// Dropping the future drops the listener and the connections, except for upgraded ones.
///
/// # Panics
///
/// On a tokio runtime whose timers are not enabled, before it accepts a connection. (tokio
/// offers no way to check that.)
#[must_use = "it does nothing until it is awaited"]
pub struct Serve<L, M, H> {
    listener: L,
    make_service: M,
    handshake: H,
    shutdown: Option<Shutdown>,
    max_connections: usize,
    settings: ConnectionSettings,
}

impl<L, M, H> Serve<L, M, H> {
    /// Drains with this [`Shutdown`]. If a second ctrl-c ends its delay, each connection
    /// that has not had its moment retires at once. Without a `Shutdown`, the server ends
    /// when another one of the process has begun [`Closing`](crate::Phase::Closing).
    pub fn with_graceful_shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    /// Sets the group of connections, and so the window in which they retire and their
    /// maximum age. It must belong to the same process as the server. By default
    /// [`Readiness::connections`].
    pub fn connections(mut self, connections: Connections) -> Self {
        self.settings.connections = connections;
        self
    }

    /// Sets the maximum number of connections at a time. By default only the file
    /// descriptors of the process limit them.
    ///
    /// Further connections wait in the backlog of the kernel until one ends.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how long a connection may take after its handshake until the head of its
    /// first request has arrived. By default 30 seconds. Then the server closes it.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.settings.header_timeout = timeout;
        self
    }

    /// Sets how long the [handshake](Self::handshake) and `make_service` may take together.
    /// By default 10 seconds. Then the server closes the connection.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout = timeout;
        self
    }

    /// Sets what happens to an accepted connection before HTTP: a TLS handshake, or a
    /// header of a proxy. Runs in the task of the connection, so that a slow peer delays
    /// no other one.
    ///
    /// The function gets the stream and the address of the peer, and returns the stream
    /// for HTTP and the value that `make_service` is called with. An error ends the
    /// connection. The package `examples/tls` of the repository is a whole server with
    /// rustls.
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use tokio::net::{TcpListener, TcpStream};
    /// # use tower_readiness::{Readiness, SettingError, drain};
    /// # #[derive(Clone)] struct TlsAcceptor;
    /// # impl TlsAcceptor {
    /// #     async fn accept(&self, stream: TcpStream) -> std::io::Result<TcpStream> { Ok(stream) }
    /// # }
    /// # async fn run(
    /// #     readiness: Readiness, listener: TcpListener, app: axum::Router, tls: TlsAcceptor,
    /// # ) -> Result<(), SettingError> {
    /// // `tls` is the `TlsAcceptor` of tokio-rustls, which offers `h2` and `http/1.1`.
    /// drain::serve(&readiness, listener, app.into_make_service())
    ///     .handshake(move |(stream, peer): (TcpStream, SocketAddr)| {
    ///         let tls = tls.clone();
    ///         async move { Ok((tls.accept(stream).await?, peer)) }
    ///     })
    ///     .await
    /// # }
    /// ```
    pub fn handshake<F>(self, handshake: F) -> Serve<L, M, F> {
        Serve {
            listener: self.listener,
            make_service: self.make_service,
            handshake,
            shutdown: self.shutdown,
            max_connections: self.max_connections,
            settings: self.settings,
        }
    }

    /// Changes the settings of HTTP.
    ///
    /// A `header_read_timeout` of hyper also closes kept connections that are idle for
    /// as long.
    pub fn http(mut self, set: impl FnOnce(&mut auto::Builder<TokioExecutor>)) -> Self {
        set(&mut self.settings.http);
        self
    }

    fn check(&self) -> Result<(), SettingError> {
        bounded("header timeout", self.settings.header_timeout)?;
        bounded("handshake timeout", self.settings.handshake_timeout)?;
        not_zero("maximum of connections", self.max_connections)?;
        Ok(())
    }
}

impl<L, M, H, F, I, T, S, B> IntoFuture for Serve<L, M, H>
where
    L: Listener + Send + 'static,
    L::Connection: Send + 'static,
    H: Fn(L::Connection) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<(I, T)>> + Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: Send + 'static,
    M: Service<T, Response = S, Future: Send> + Clone + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Output = Result<(), SettingError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check()?;
            // Panics here rather than in each connection.
            drop(sleep(Duration::ZERO));
            let settings = Arc::new(self.settings);
            let mut tasks = ConnectionTasks::new("server");
            let mut slots = Slots::default();
            let mut closing = pin!(closing(self.shutdown, &settings.readiness));
            // How many more connections are accepted, from `Closing` on.
            let mut left = None;
            while left != Some(0) {
                let (listener, max) = (&mut self.listener, self.max_connections);
                let accepted = match &mut left {
                    None => tokio::select! { biased;
                        () = closing.as_mut() => {
                            // The kernel would reset the connections in its backlog. The runtime
                            // may not have asked for them yet: it does so before it looks at its
                            // timers, while a yield may return at once.
                            sleep(Duration::from_millis(1)).await;
                            left = Some(BACKLOG);
                            None
                        }
                        accepted = tasks.accept(listener, max, || slots.evict()) => accepted,
                    },
                    Some(left) => {
                        *left -= 1;
                        let accepted = tasks.accept_ready(listener, max).await;
                        if accepted.is_none() {
                            break;
                        }
                        accepted
                    }
                };
                if let Some(connection) = accepted {
                    let tracked = settings.connections.track();
                    tasks.spawn(connection::serve(
                        connection,
                        self.handshake.clone(),
                        self.make_service.clone(),
                        slots.add(&tracked),
                        tracked,
                        Arc::clone(&settings),
                    ));
                }
            }
            drop(self.listener);
            tasks.all_ended().await;
            Ok(())
        })
    }
}

/// Completes when the server has to stop accepting.
async fn closing(shutdown: Option<Shutdown>, readiness: &Readiness) {
    let closing = readiness.closing();
    match shutdown {
        Some(shutdown) => {
            tokio::select! { biased;
                () = shutdown => {}
                () = closing => {}
            }
        }
        None => closing.await,
    }
}

crate::debug::fields!(Serve<L, M, H>, |this| {
    connections: this.settings.connections,
    max_connections: this.max_connections,
    header_timeout: this.settings.header_timeout,
    handshake_timeout: this.settings.handshake_timeout,
});
