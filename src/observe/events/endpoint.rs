use super::{id::EventId, stream::EventStream};
use crate::{
    probe::{Probes, build_response, line, method_not_allowed},
    response::OwnResponse,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{Either, Full};
use std::sync::Arc;
use tokio::sync::Semaphore;

const EVENT_STREAM: &str = "text/event-stream";

/// When a client should try again, in seconds.
const RETRY: HeaderValue = HeaderValue::from_static("5");

/// Answers the path of the event stream.
#[derive(Clone)]
pub(crate) struct EventsEndpoint {
    probes: Probes,
    /// Identifies the listener, in the ids of events.
    instance: u64,
    /// A permit for each stream, and for each request that may `?wait`.
    permits: Arc<Semaphore>,
}

impl EventsEndpoint {
    /// Streams the state of these probes, to `most` clients at most.
    pub(crate) fn new(probes: &Probes, most: usize) -> Self {
        let own = || Arc::new(Semaphore::new(most));
        Self {
            probes: probes.clone(),
            instance: fastrand::u64(..),
            permits: probes.waiting().unwrap_or_else(own),
        }
    }

    /// Answers `request`, or returns `None` if it has another path. The stream calls
    /// the function that `begin` returns with each part that the connection takes.
    pub(crate) fn answer<B, F>(
        &self,
        request: &Request<B>,
        begin: impl FnOnce() -> F,
    ) -> Option<Response<Either<Full<Bytes>, EventStream>>>
    where
        F: Fn() + Send + 'static,
    {
        if !self.probes.is_path_of_events(request.uri().path()) {
            return None;
        }
        let without_stream = |response: OwnResponse| Some(response.map(Either::Left));
        match *request.method() {
            Method::GET => {}
            Method::HEAD => return without_stream(response(Bytes::new())),
            _ => return without_stream(method_not_allowed()),
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let why = "too many streams and waiting requests; retry later";
            let mut response = line(StatusCode::SERVICE_UNAVAILABLE, why);
            response.headers_mut().insert(RETRY_AFTER, RETRY);
            return without_stream(response);
        };
        let last = request.headers().get("last-event-id");
        let last = last.and_then(|id| EventId::parse(id.to_str().ok()?));
        let seen = last.filter(|id| id.instance == self.instance);
        let seen = seen.map(|id| id.version);
        let stream = EventStream::new(self.probes.clone(), self.instance, seen, permit, begin());
        let (head, _) = response(Bytes::new()).into_parts();
        Some(Response::from_parts(head, Either::Right(stream)))
    }
}

fn response(body: Bytes) -> OwnResponse {
    build_response(StatusCode::OK, EVENT_STREAM, body)
}
