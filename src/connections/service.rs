use super::{
    request_extension::Retiring,
    tracked::{OpenRequest, Tracked},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The service of one connection: adds [`Retiring`] to each request, and
/// `connection: close` to HTTP/1 responses once the connection retires. A service of
/// hyper and of tower, as the inner one is.
#[derive(Clone)]
pub struct ConnectionService<S> {
    inner: S,
    tracked: Arc<Tracked>,
}

impl<S> ConnectionService<S> {
    pub(super) fn new(inner: S, tracked: Arc<Tracked>) -> Self {
        Self { inner, tracked }
    }

    fn begin<B>(&self, request: &mut Request<B>) -> Open {
        let retiring = Retiring::new(Arc::clone(&self.tracked));
        request.extensions_mut().insert(retiring);
        let is_http2 = request.version() >= Version::HTTP_2;
        Open {
            request: self.tracked.begin_request(is_http2),
            asks_for_tunnel: request.method() == Method::CONNECT,
        }
    }
}

impl<S, B, R> tower_service::Service<Request<B>> for ConnectionService<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ConnectionBody<R>>;
    type Error = S::Error;
    type Future = ConnectionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let open = self.begin(&mut request);
        ConnectionFuture {
            response: self.inner.call(request),
            open: Some(open),
        }
    }
}

impl<S, B, R> hyper::service::Service<Request<B>> for ConnectionService<S>
where
    S: hyper::service::Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ConnectionBody<R>>;
    type Error = S::Error;
    type Future = ConnectionFuture<S::Future>;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        let open = self.begin(&mut request);
        ConnectionFuture {
            response: self.inner.call(request),
            open: Some(open),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ConnectionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a [`ConnectionService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ConnectionFuture<F> {
        #[pin]
        response: F,
        open: Option<Open>,
    }
}

/// A request without a response.
struct Open {
    request: OpenRequest,
    asks_for_tunnel: bool,
}

impl<F, R, E> Future for ConnectionFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ConnectionBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let open = this.open.take().map(|open| {
            let tracked = &open.request.0;
            let begins_tunnel = open.asks_for_tunnel && response.status().is_success();
            // HTTP/2 has no such header: there the connection itself is told.
            if begins_tunnel {
                if tracked.is_http2() {
                    tracked.keep_open();
                }
            } else if !tracked.is_http2() && tracked.announces_close() {
                announce_close(&mut response);
            }
            open.request
        });
        Poll::Ready(Ok(response.map(|inner| ConnectionBody { inner, open })))
    }
}

/// A `connection` header of the inner service stays, and so does that of an upgrade. (A
/// response that begins a tunnel gets none either.)
#[cold]
fn announce_close<R>(response: &mut Response<R>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
}

pin_project! {
    /// The body of a response of a [`ConnectionService`]. The request is open until it
    /// is dropped.
    pub struct ConnectionBody<B> {
        #[pin]
        inner: B,
        open: Option<OpenRequest>,
    }
}

impl<B: Default> Default for ConnectionBody<B> {
    fn default() -> Self {
        Self {
            inner: B::default(),
            open: None,
        }
    }
}

impl<B: Body> Body for ConnectionBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for ConnectionBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionBody").field(&self.inner).finish()
    }
}
