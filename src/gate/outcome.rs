use super::head;
use http::{HeaderMap, HeaderName, Response};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the head of a response shows that the request failed.
///
/// Only the head of a trailers-only gRPC response has a gRPC status. The content
/// type is checked first, because the lookup of `grpc-status`, which is not a
/// standard header, takes longer than the rest of this function.
#[inline]
pub(super) fn is_failure<R>(response: &Response<R>) -> bool {
    response.status().is_server_error()
        || (head::has_grpc_type(response.headers()) && is_failed_grpc(response.headers()))
}

/// Whether the gRPC status of a call is a failure of the server, not of the caller.
///
/// `INTERNAL` (13) and `UNAVAILABLE` (14) correspond to HTTP's 5xx. `UNKNOWN` does
/// not count, because many applications return it for mistakes of the caller.
#[cold]
pub(super) fn is_failed_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(&GRPC_STATUS)
        .is_some_and(|status| matches!(status.as_bytes(), b"13" | b"14"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{StatusCode, header::CONTENT_TYPE};

    #[test]
    fn server_errors_are_failures_and_client_errors_are_not() {
        for (status, failed) in [(200, false), (404, false), (500, true), (503, true)] {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_failure(&response), failed, "{status}");
        }
    }

    #[test]
    fn a_grpc_status_counts_only_with_a_grpc_content_type() {
        for (kind, status, failed) in [
            ("application/grpc", "14", true),
            ("application/grpc+proto", "13", true),
            ("Application/gRPC-web", "14", true),
            ("application/grpc", "0", false),
            ("application/grpc", "2", false),
            ("application/grpc", "5", false),
            ("application/grpc", "140", false),
            ("application/json", "14", false),
        ] {
            let response = Response::builder()
                .header(CONTENT_TYPE, kind)
                .header("grpc-status", status)
                .body(())
                .unwrap();
            assert_eq!(is_failure(&response), failed, "{kind} {status}");
        }
    }
}
