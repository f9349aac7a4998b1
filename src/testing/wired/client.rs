use crate::{
    gate::{MARKER_HEADER, Refusal},
    probe::ProbeAnswer,
    registry::Readiness,
    state::Reason,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE,
        HOST, ORIGIN,
    },
    response::Parts,
};
use http_body_util::Full;
use std::{fmt, future::poll_fn};
use tower_service::Service;

/// The size of the body of an upload.
const UPLOAD: usize = 64 << 10;

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Get,
    Head,
    /// A `POST` with a body.
    Upload,
    /// A gRPC call over HTTP/2.
    Grpc,
    /// A `GET` by a script of another origin.
    Script,
    /// The `OPTIONS` with which a browser asks whether such a script may send a request.
    Preflight,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Upload => "POST",
            Self::Grpc => "gRPC",
            Self::Script => "cross-origin GET",
            Self::Preflight => "preflight",
        })
    }
}

/// Sends requests to an application, one after the other.
pub(super) struct Client<'a, S> {
    app: S,
    readiness: &'a Readiness,
    origin: HeaderValue,
}

impl<'a, S> Client<'a, S> {
    pub(super) fn new(app: S, readiness: &'a Readiness, origin: HeaderValue) -> Self {
        Self {
            app,
            readiness,
            origin,
        }
    }

    pub(super) async fn send<R>(&mut self, kind: Kind, path: &str) -> Outcome
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>>,
        S::Error: fmt::Display,
    {
        let request = self.request(kind, path);
        let (refused, gates) = (self.refused(), self.gates());
        let result = match poll_fn(|cx| self.app.poll_ready(cx)).await {
            Ok(()) => self.app.call(request).await,
            Err(error) => Err(error),
        };
        Outcome {
            request: format!("{kind} {path}"),
            was_refused: self.refused() > refused,
            gates: self.gates() - gates,
            result: result
                .map(|response| response.into_parts().0)
                .map_err(|error| error.to_string()),
        }
    }

    fn request(&self, kind: Kind, path: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        // The paths are valid, see `WiringCheck::run`.
        *request.uri_mut() = path.parse().unwrap_or_default();
        *request.method_mut() = match kind {
            Kind::Get | Kind::Script => Method::GET,
            Kind::Head => Method::HEAD,
            Kind::Upload | Kind::Grpc => Method::POST,
            Kind::Preflight => Method::OPTIONS,
        };
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        match kind {
            Kind::Get | Kind::Head => {}
            Kind::Upload => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(UPLOAD));
                *request.body_mut() = Full::from(vec![0; UPLOAD]);
            }
            Kind::Grpc => {
                let content_type = HeaderValue::from_static("application/grpc");
                headers.insert(CONTENT_TYPE, content_type);
                *request.version_mut() = Version::HTTP_2;
            }
            Kind::Script | Kind::Preflight => {
                headers.insert(ORIGIN, self.origin.clone());
                if matches!(kind, Kind::Preflight) {
                    let get = HeaderValue::from_static("GET");
                    headers.insert(ACCESS_CONTROL_REQUEST_METHOD, get);
                }
            }
        }
        request
    }

    fn refused(&self) -> u64 {
        let reasons = Reason::ALL.iter();
        reasons.map(|reason| self.readiness.refused(*reason)).sum()
    }

    fn gates(&self) -> u64 {
        self.readiness.registry().traffic().hesitated.get()
    }
}

/// The outcome of one request.
pub(super) struct Outcome {
    /// The kind and the path of the request.
    request: String,
    /// Whether a gate refused the request.
    pub(super) was_refused: bool,
    /// How many gates of the process admitted the request, if a reason held.
    pub(super) gates: u64,
    result: Result<Parts, String>,
}

impl Outcome {
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.result.as_ref().ok().map(|parts| parts.status)
    }

    /// Whether the application asks for credentials, which the check does not have.
    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self.status(),
            Some(
                StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            )
        )
    }

    pub(super) fn has_failed(&self) -> bool {
        self.status().is_none_or(|status| status.is_server_error())
    }

    /// Whether the response is the answer to a probe.
    pub(super) fn is_probe_answer(&self) -> bool {
        let parts = self.result.as_ref().ok();
        parts.is_some_and(|parts| parts.extensions.get::<ProbeAnswer>().is_some())
    }

    /// Whether the response of a refusal has reached the client. A responder of the
    /// application may have changed the status.
    pub(super) fn shows_refusal(&self) -> bool {
        self.result.as_ref().is_ok_and(|parts| {
            let is_error = parts.status.is_server_error();
            (!is_error || parts.status == StatusCode::SERVICE_UNAVAILABLE)
                && (parts.headers.contains_key(MARKER_HEADER)
                    || parts.extensions.get::<Refusal>().is_some())
        })
    }

    /// Whether a browser lets a script of another origin read the response.
    pub(super) fn allows_origin(&self) -> bool {
        let parts = self.result.as_ref().ok();
        parts.is_some_and(|parts| parts.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN))
    }

    /// Describes the request and its response: `GET / while failing: 500`.
    pub(super) fn describe(&self, state: &str) -> String {
        let request = &self.request;
        match &self.result {
            Ok(parts) => format!("{request} while {state}: {}", parts.status.as_u16()),
            Err(error) => format!("{request} while {state}: {error}"),
        }
    }
}
