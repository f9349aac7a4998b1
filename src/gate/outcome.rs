use super::head;
use http::{HeaderMap, HeaderName, Response};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the head of a response says that the request failed.
///
/// Only the head of a gRPC response that is trailers-only has a status of its
/// own; and only its content type is asked of all others, for looking up what
/// is not a standard header takes longer than all the rest.
#[inline]
pub(super) fn is_failure<R>(response: &Response<R>) -> bool {
    response.status().is_server_error()
        || (head::has_grpc_type(response.headers()) && is_failed_grpc(response.headers()))
}

/// Whether the status of a call is the server's fault and not the caller's.
///
/// `INTERNAL` (13) and `UNAVAILABLE` (14) are what HTTP calls 5xx. `UNKNOWN` is
/// left out, as it is what many an application says of its caller's mistakes.
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
    fn server_errors_are_failures_and_those_of_clients_are_not() {
        for (status, failed) in [(200, false), (404, false), (500, true), (503, true)] {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_failure(&response), failed, "{status}");
        }
    }

    #[test]
    fn a_grpc_status_counts_where_it_is_one() {
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
