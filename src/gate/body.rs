use super::outcome::OutcomeTracker;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of a response: the inner service's own, or that of a refusal
    /// or a probe.
    #[derive(Debug)]
    pub struct ReadinessBody<B> {
        #[pin]
        kind: BodyKind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum BodyKind<B> {
        Inner {
            #[pin]
            body: B,
            // Until the body has ended.
            outcome_tracker: Option<OutcomeTracker>,
        },
        Own { #[pin] body: Full<Bytes> },
    }
}

impl<B> ReadinessBody<B> {
    pub(super) fn inner(body: B, outcome_tracker: Option<OutcomeTracker>) -> Self {
        Self {
            kind: BodyKind::Inner {
                body,
                outcome_tracker,
            },
        }
    }

    pub(super) fn own(body: Full<Bytes>) -> Self {
        Self {
            kind: BodyKind::Own { body },
        }
    }

    /// Returns the body of the inner service, without this wrapper.
    ///
    /// The method calls `wrap` with the wrapper where the layer still needs it: for the answer
    /// of a refusal or a probe, and for a response that the layer
    /// [counts](super::ReadinessLayer::count_in_flight) or
    /// [observes](super::ReadinessLayer::observe_outcomes) until its body has ended.
    ///
    /// axum boxes each body that is not its own. With this method a router saves that
    /// allocation:
    ///
    /// ```
    /// use axum::{Router, body::Body};
    /// use tower::ServiceBuilder;
    /// use tower_http::map_response_body::MapResponseBodyLayer;
    /// use tower_readiness::{Readiness, ReadinessLayer, gate::ReadinessBody};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().allow_empty().build()?;
    /// let unboxed = |body: ReadinessBody<Body>| body.into_inner_or_else(Body::new);
    /// let app: Router = Router::new().layer(
    ///     ServiceBuilder::new()
    ///         .layer(MapResponseBodyLayer::new(unboxed))
    ///         .layer(ReadinessLayer::new(&readiness)),
    /// );
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn into_inner_or_else(self, wrap: impl FnOnce(Self) -> B) -> B {
        match self.kind {
            BodyKind::Inner {
                body,
                outcome_tracker: None,
            } => body,
            kind => wrap(Self { kind }),
        }
    }
}

/// An empty body of the inner kind, because middleware outside may need to make
/// an empty body.
impl<B: Default> Default for ReadinessBody<B> {
    fn default() -> Self {
        Self::inner(B::default(), None)
    }
}

impl<B: Body<Data = Bytes>> Body for ReadinessBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner {
                mut body,
                outcome_tracker,
            } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                if let Some(tracker) = outcome_tracker {
                    match &frame {
                        Some(Ok(frame)) => {
                            // Servers stop polling a body once its
                            // `is_end_stream` is true.
                            let is_over = || tracker.is_undecided() && body.is_end_stream();
                            if frame.is_trailers() || is_over() {
                                let trailers = frame.trailers_ref();
                                *outcome_tracker = outcome_tracker
                                    .take()
                                    .and_then(|tracker| tracker.at_end(trailers));
                            }
                        }
                        Some(Err(_)) => {
                            if let Some(tracker) = outcome_tracker.take() {
                                tracker.body_failed();
                            }
                        }
                        None if tracker.is_undecided() => {
                            let tracker = outcome_tracker.take();
                            drop(tracker.and_then(|tracker| tracker.at_end(None)));
                        }
                        None => *outcome_tracker = None,
                    }
                }
                Poll::Ready(match frame {
                    Some(Ok(frame)) if is_large(frame.data_ref()) => {
                        let is_last = body.is_end_stream();
                        let track = |data| track_unsent(data, outcome_tracker, is_last);
                        Some(Ok(frame.map_data(track)))
                    }
                    frame => frame,
                })
            }
            KindProj::Own { body } => {
                let frame = ready!(body.poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inner { body, .. } => body.is_end_stream(),
            BodyKind::Own { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inner { body, .. } => body.size_hint(),
            BodyKind::Own { body } => body.size_hint(),
        }
    }
}

/// A piece of a body is tracked from this many bytes on. The kernel's send buffer mostly
/// takes a smaller piece in whole, and sends it by itself.
const LARGE: usize = 64 << 10;

/// A piece of a body, with a guard of its response.
struct Unsent<G> {
    data: Bytes,
    _until_it_is_sent: G,
}

impl<G> AsRef<[u8]> for Unsent<G> {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Whether [`track_unsent`] has to track a piece of a body.
#[inline]
fn is_large(data: Option<&Bytes>) -> bool {
    data.is_some_and(|data| data.len() >= LARGE)
}

/// Attaches a guard of a response to a piece of its body, so that the request is in flight
/// until the server drops the bytes.
///
/// A server drops a body as soon as it has all frames, while a slow client may
/// need a minute to receive the last: hyper puts no bound on a single frame.
/// Without this, a draining process would take the response for sent, and end.
///
/// Most streams do not know which piece is their last, and trailers or a small piece may
/// follow while a large piece is still unsent.
#[cold]
fn track_unsent(data: Bytes, tracker: &mut Option<OutcomeTracker>, is_last: bool) -> Bytes {
    match tracker.take() {
        None => data,
        Some(tracker) if is_last => until_sent(data, tracker),
        Some(own) => {
            let (shared, in_flight) = own.share();
            *tracker = Some(shared);
            until_sent(data, in_flight)
        }
    }
}

fn until_sent(data: Bytes, guard: impl Send + 'static) -> Bytes {
    Bytes::from_owner(Unsent {
        data,
        _until_it_is_sent: guard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty};

    #[test]
    fn length_and_end_are_those_of_the_body_within() {
        let own = ReadinessBody::<Empty<Bytes>>::own(Full::from("four"));
        assert_eq!(own.size_hint().exact(), Some(4));
        assert!(!own.is_end_stream());

        let inner = ReadinessBody::inner(Full::from("seven"), None);
        assert_eq!(inner.size_hint().exact(), Some(5));
        assert!(!inner.is_end_stream());

        let empty = ReadinessBody::<Full<Bytes>>::default();
        assert_eq!(empty.size_hint().exact(), Some(0));
        assert!(empty.is_end_stream());
    }

    #[test]
    fn only_the_body_of_the_inner_service_is_given_back() {
        let wrap = |_| Full::<Bytes>::from("wrapped");
        let inner = ReadinessBody::inner(Full::from("inner"), None).into_inner_or_else(wrap);
        assert_eq!(inner.size_hint().exact(), Some(5));

        let own = ReadinessBody::own(Full::from("own")).into_inner_or_else(wrap);
        assert_eq!(own.size_hint().exact(), Some(7));
    }

    #[tokio::test]
    async fn data_comes_through_whole() {
        let own = ReadinessBody::<Empty<Bytes>>::own(Full::from("own"));
        assert_eq!(own.collect().await.unwrap().to_bytes(), "own");
        let inner = ReadinessBody::inner(Full::from("inner"), None);
        assert_eq!(inner.collect().await.unwrap().to_bytes(), "inner");
    }
}
