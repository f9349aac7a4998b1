use super::head::RequestHead;
use crate::{
    response::{OwnResponse, without_body},
    state::Reason,
};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use std::{ops::RangeInclusive, sync::Arc, time::Duration};
use thiserror::Error;

/// The header `x-readiness`, which distinguishes a refusal from a 503 of the
/// application. Its value is the [`Reason`].
///
/// A script in a browser reads it, and `retry-after`, only where CORS [exposes
/// them](crate::gate#cors).
pub const MARKER_HEADER: HeaderName = HeaderName::from_static("x-readiness");

/// The refusal of a request by a gate. It is in the extensions of the response,
/// for layers outside of the gate, and an argument of the responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(super) reason: Reason,
    pub(super) scope: Option<Arc<str>>,
    pub(super) retry_after: Option<Duration>,
    pub(super) version: u64,
}

impl Refusal {
    /// Returns the reason for the refusal.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the name of the scope whose gate refused the request, or `None` for the
    /// gate of the process as a whole.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the delay after which the client should retry, in whole seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the [version](crate::Snapshot::version) of the snapshot that the refusal
    /// is based on.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// The delay after which refused clients should retry: a random number of seconds,
/// so that they do not all come back together.
///
/// By default 1 to 5 seconds.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAfter(Option<RangeInclusive<u32>>);

/// Why the delays of a [`RetryAfter`] are not valid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAfterError {
    /// A time is not in whole seconds, which `retry-after` takes (RFC 9110, section
    /// 10.2.3).
    #[error("`retry-after` takes whole seconds, not {time:?}")]
    Fraction {
        /// The time that was given.
        time: Duration,
    },
    /// The earliest time is later than the latest.
    #[error("`retry-after` cannot be from {earliest:?} to {latest:?}: give the earlier time first")]
    Reversed {
        /// The earliest time that was given.
        earliest: Duration,
        /// The latest time that was given.
        latest: Duration,
    },
    /// The latest time is longer than a day.
    #[error("`retry-after` is at most a day, {} seconds, not {time:?}", RetryAfter::LONGEST.as_secs())]
    Long {
        /// The time that was given.
        time: Duration,
    },
}

impl RetryAfter {
    const LONGEST: Duration = Duration::from_secs(86_400);

    /// Returns a delay from `earliest` to `latest`, both in whole seconds.
    ///
    /// # Errors
    ///
    /// When a time is not in whole seconds, `earliest` is later than
    /// `latest`, or `latest` is more than a day.
    pub fn between(earliest: Duration, latest: Duration) -> Result<Self, RetryAfterError> {
        let seconds = |time: Duration| {
            if time.subsec_nanos() != 0 {
                return Err(RetryAfterError::Fraction { time });
            }
            let short = Some(time).filter(|time| *time <= Self::LONGEST);
            short
                .and_then(|time| u32::try_from(time.as_secs()).ok())
                .ok_or(RetryAfterError::Long { time })
        };
        if earliest > latest {
            return Err(RetryAfterError::Reversed { earliest, latest });
        }
        Ok(Self(Some(seconds(earliest)?..=seconds(latest)?)))
    }

    /// Leaves `retry-after` out of refusals.
    pub fn never() -> Self {
        Self(None)
    }

    pub(super) fn pick(&self) -> Option<Duration> {
        let seconds = fastrand::u32(self.0.clone()?);
        Some(Duration::from_secs(seconds.into()))
    }
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self(Some(1..=5))
    }
}

pub(super) type Responder =
    Arc<dyn Fn(&Refusal, RequestHead<'_>, Response<Bytes>) -> Response<Bytes> + Send + Sync>;

/// Makes the response of a refusal, with `connection: close` if `close` is set.
pub(super) fn respond(
    refusal: Refusal,
    head: RequestHead<'_>,
    close: bool,
    responder: Option<&Responder>,
) -> OwnResponse {
    let mut response = if head.is_grpc() {
        grpc(&refusal, head)
    } else {
        http(&refusal)
    };
    let headers = response.headers_mut();
    headers.insert(
        MARKER_HEADER,
        HeaderValue::from_static(refusal.reason.as_str()),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(retry_after) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(responder) = responder {
        response = responder(&refusal, head, response);
    }
    response.extensions_mut().insert(refusal);
    let response = response.map(Full::new);
    if *head.method() == Method::HEAD {
        without_body(response)
    } else {
        response
    }
}

fn http(refusal: &Refusal) -> Response<Bytes> {
    let body = Bytes::from_static(line(refusal.reason).as_bytes());
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// A trailers-only response, in a single header block, with `UNAVAILABLE` (gRPC
/// over HTTP/2, "Responses"). A gRPC client reads only the status of a call, and
/// clients differ in how they map HTTP 503 to it.
fn grpc(refusal: &Refusal, head: RequestHead<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    // The same subtype as the request's (`+proto`, `-web`), because a client may
    // check it.
    if let Some(content_type) = head.headers().get(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    headers.insert("grpc-status", HeaderValue::from_static("14"));
    // Plain ASCII without `%` needs no percent-encoding.
    let message = line(refusal.reason).trim_end();
    headers.insert("grpc-message", HeaderValue::from_static(message));
    // Clients of gRPC do not read `retry-after` (gRFC A6, "Pushback").
    if let Some(retry_after) = refusal.retry_after {
        let millis = retry_after.as_secs() * 1_000;
        headers.insert("grpc-retry-pushback-ms", HeaderValue::from(millis));
    }
    response
}

const fn line(reason: Reason) -> &'static str {
    match reason {
        Reason::Closed => "not ready: closed\n",
        Reason::Starting => "not ready: starting\n",
        Reason::Failing => "not ready: failing\n",
        Reason::Closing => "not ready: closing\n",
        Reason::Draining => "not ready: draining\n",
        Reason::Paused => "not ready: paused\n",
        Reason::Saturated => "not ready: saturated\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_spread_over_its_range() {
        let retry_after =
            RetryAfter::between(Duration::from_secs(2), Duration::from_secs(4)).unwrap();
        let mut seen = [0; 3];
        for _ in 0..1_000 {
            let seconds = retry_after.pick().unwrap().as_secs();
            seen[usize::try_from(seconds).unwrap() - 2] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert_eq!(RetryAfter::never().pick(), None);
    }

    #[test]
    fn invalid_ranges_are_errors() {
        let between = |earliest, latest| {
            RetryAfter::between(
                Duration::from_millis(earliest),
                Duration::from_millis(latest),
            )
        };
        let message = |earliest, latest| between(earliest, latest).unwrap_err().to_string();
        assert!(message(500, 1_000).contains("not 500ms"));
        assert!(message(2_000, 1_000).contains("from 2s to 1s"));
        assert!(message(0, 86_401_000).contains("not 86401s"));
        assert!(between(0, 86_400_000).is_ok());
    }
}
