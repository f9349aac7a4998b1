//! What Envoy reads in the headers of a response.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Ends the health of the host at once, in a response of any kind, where Envoy
/// checks health actively.
const IMMEDIATE_HEALTH_CHECK_FAIL: HeaderName =
    HeaderName::from_static("x-envoy-immediate-health-check-fail");

/// Sends traffic elsewhere as long as there is enough elsewhere. Envoy reads it
/// in responses to its health checks alone.
const DEGRADED: HeaderName = HeaderName::from_static("x-envoy-degraded");

pub(crate) fn fail_health_check(headers: &mut HeaderMap) {
    set(headers, IMMEDIATE_HEALTH_CHECK_FAIL);
}

pub(super) fn degrade(headers: &mut HeaderMap) {
    set(headers, DEGRADED);
}

fn set(headers: &mut HeaderMap, name: HeaderName) {
    headers.insert(name, HeaderValue::from_static("true"));
}
