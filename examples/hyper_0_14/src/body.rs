//! A response body whose request is in flight until it has ended.

use hyper::{
    Body, HeaderMap,
    body::{Bytes, HttpBody, SizeHint},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tower_readiness::gate::Admitted;

/// hyper drops a body at its end, and also if the client is gone: that ends the work, too.
pub struct InFlightBody {
    body: Body,
    _admitted: Option<Admitted>,
}

impl InFlightBody {
    /// A body, and the guard of its request; `None` after a probe or a refusal.
    pub fn new(body: Body, admitted: Option<Admitted>) -> Self {
        Self {
            body,
            _admitted: admitted,
        }
    }
}

impl HttpBody for InFlightBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_data(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        Pin::new(&mut self.body).poll_data(cx)
    }

    fn poll_trailers(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, hyper::Error>> {
        Pin::new(&mut self.body).poll_trailers(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
