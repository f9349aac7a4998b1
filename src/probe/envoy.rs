//! Response headers for Envoy.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Marks the host as unhealthy at once. Envoy reads it in a response of any kind,
/// where it checks health actively.
const IMMEDIATE_HEALTH_CHECK_FAIL: HeaderName =
    HeaderName::from_static("x-envoy-immediate-health-check-fail");

/// Makes Envoy prefer other hosts while enough of them are healthy. Envoy reads
/// it in responses to its health checks alone.
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
