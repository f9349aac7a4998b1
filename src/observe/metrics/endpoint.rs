use super::exposition::Families;
use crate::{
    probe::{
        LARGE_UPDATE, Probes, UnreadAnswers, build_response, line, method_not_allowed, prefers,
    },
    response::{OwnResponse, without_body},
    wire::paths::METRICS,
};
use http::{HeaderMap, Method, Request, StatusCode};
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};
use std::sync::Arc;

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `/metrics`.
#[derive(Clone)]
pub(crate) struct MetricsEndpoint {
    registry: Arc<Registry>,
    unread: UnreadAnswers,
}

impl MetricsEndpoint {
    /// The metrics of the process of these probes. Bodies that clients have not read
    /// yet count together with the large answers of the probes.
    pub(crate) fn new(probes: &Probes) -> Self {
        let mut registry = Registry::default();
        let families = Families::of(probes.readiness().registry());
        registry.register_collector(Box::new(families));
        Self {
            registry: Arc::new(registry),
            unread: probes.unread_answers().clone(),
        }
    }

    /// Answers `request`, or returns `None` if it has another path.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<OwnResponse> {
        let path = request.uri().path();
        if path.strip_suffix('/').unwrap_or(path) != METRICS {
            return None;
        }
        Some(match *request.method() {
            Method::GET => self.render(request.headers()),
            Method::HEAD => without_body(self.render(request.headers())),
            _ => method_not_allowed(),
        })
    }

    fn render(&self, headers: &HeaderMap) -> OwnResponse {
        let mut body = String::new();
        // To write to a string cannot fail.
        let content_type = if prefers(headers, "application/openmetrics-text") {
            let _ = text::encode(&mut body, &self.registry);
            OPEN_METRICS
        } else {
            let _ = prometheus_text::encode(&mut body, &self.registry);
            prometheus_text::CONTENT_TYPE
        };
        // The length is known only now.
        if self.unread.is_full() && body.len() >= LARGE_UPDATE {
            let why = "other clients have not read their answers";
            return line(StatusCode::SERVICE_UNAVAILABLE, why);
        }
        build_response(StatusCode::OK, content_type, self.unread.count(body))
    }
}

crate::debug::fields!(MetricsEndpoint);

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    #[test]
    fn clients_that_do_not_read_hold_up_large_answers_alone() {
        for (subsystems, meanwhile) in
            [(20, StatusCode::OK), (200, StatusCode::SERVICE_UNAVAILABLE)]
        {
            let subsystems = (0..subsystems).map(|n| Subsystem::new(format!("{n:0>40}")));
            let builder = subsystems.fold(Readiness::builder(), crate::Builder::subsystem);
            let readiness = builder.build().unwrap();
            let endpoint = MetricsEndpoint::new(&Probes::new(&readiness));
            let status = || {
                let request = Request::get(METRICS).body(()).unwrap();
                endpoint.answer(&request).unwrap().status()
            };
            assert_eq!(status(), StatusCode::OK);
            let unread = endpoint.unread.count("x".repeat(32 << 20));
            assert_eq!(status(), meanwhile);
            drop(unread);
            assert_eq!(status(), StatusCode::OK);
        }
    }
}
