use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// A request without its body, for predicates and responders.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The URI.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The HTTP version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The extensions.
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// The beginning of gRPC's content types: `+proto`, `-web` and more may follow.
const GRPC: &[u8] = b"application/grpc";

impl RequestHead<'_> {
    /// `connection` is a matter of HTTP/1 (RFC 9113, section 8.2.2, forbids
    /// it in HTTP/2).
    pub(super) fn is_http1(&self) -> bool {
        matches!(self.version, Version::HTTP_10 | Version::HTTP_11)
    }

    pub(super) fn is_grpc(&self) -> bool {
        has_grpc_type(self.headers)
    }

    /// gRPC's own health service answers for itself.
    pub(super) fn is_grpc_health(&self) -> bool {
        is_grpc_health(self.uri.path())
    }
}

pub(super) fn has_grpc_type(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..GRPC.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

pub(super) fn is_grpc_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}
