use http::{Extensions, HeaderMap, Method, Request, Uri, Version, request::Parts};

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
    /// Returns the method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the URI.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the HTTP version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the extensions.
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

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

/// gRPC's content type. A subtype, the suffix of gRPC-Web or a parameter may
/// follow.
const GRPC: &[u8] = b"application/grpc";

impl RequestHead<'_> {
    /// Whether the response may have a `connection` header, which RFC 9113, section
    /// 8.2.2, forbids in HTTP/2.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self.version, Version::HTTP_10 | Version::HTTP_11)
    }

    /// Whether the connection of the request announces its end at a moment of its own.
    pub(super) fn retires_by_itself(&self) -> bool {
        #[cfg(feature = "connections")]
        return crate::connections::has_moment(self.extensions);
        #[cfg(not(feature = "connections"))]
        false
    }

    pub(super) fn is_grpc(&self) -> bool {
        has_grpc_type(self.headers)
    }

    /// Whether the request calls gRPC's own health service, which reports its
    /// readiness itself. Only its three methods match, because a router may serve
    /// other paths below the same prefix.
    #[inline]
    pub(super) fn is_grpc_health(&self) -> bool {
        *self.method == Method::POST && is_health_method(self.uri.path()) && self.is_grpc()
    }
}

fn is_health_method(path: &str) -> bool {
    path.strip_prefix("/grpc.health.v1.Health/")
        .is_some_and(|method| matches!(method, "Check" | "Watch" | "List"))
}

pub(super) fn has_grpc_type(headers: &HeaderMap) -> bool {
    let value = headers.get(http::header::CONTENT_TYPE);
    let split = value.and_then(|value| value.as_bytes().split_at_checked(GRPC.len()));
    split.is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(GRPC)
            && matches!(rest.first(), None | Some(b'+' | b'-' | b';' | b' ' | b'\t'))
    })
}
