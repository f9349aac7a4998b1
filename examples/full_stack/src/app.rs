//! The routes, and around them the layers that a service usually has, in the
//! order in which they work together.

use axum::{
    Router,
    http::{
        HeaderName, Request, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    routing::get,
};
use std::time::Duration;
use tokio::time::sleep;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    classify::ServerErrorsAsFailures,
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_readiness::{
    Readiness, ReadinessLayer,
    gate::{MARKER_HEADER, ReadinessAsSuccess},
};
use tracing::{Span, info_span};

/// How long a handler may take until it has its response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole application.
pub(crate) fn app(readiness: &Readiness) -> Router {
    let request_id = HeaderName::from_static("x-request-id");
    // Refusals and red probes are no errors of the application.
    let classifier = ReadinessAsSuccess::new(ServerErrorsAsFailures::new());
    let trace = TraceLayer::new(classifier.into_make_classifier()).make_span_with(span);
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_headers([CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, MARKER_HEADER, request_id]);
    let layer = ReadinessLayer::new(readiness)
        .count_in_flight()
        .observe_outcomes();

    // The first layer is the outermost.
    let stack = ServiceBuilder::new()
        // 1. Every request has an id and every response carries it, refused
        //    ones and probes included.
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        // 2. Every request has a span, with the id.
        .layer(trace)
        .layer(PropagateRequestIdLayer::x_request_id())
        // 3. A script in a browser can read refusals. This layer answers every
        //    OPTIONS, so health checks name their method.
        .layer(cors)
        // 4. Outside of it are the layers that see every request; inside, those
        //    that work for admitted requests alone.
        .layer(layer)
        // 5. A panic is a 500, which counts as drift like every other.
        .layer(CatchPanicLayer::new())
        // 6. A handler that takes too long is a 504, which counts as well. A
        //    request that the readiness layer holds does not use up its time.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        // 7. Responses of the application are compressed, and probes are not.
        .layer(CompressionLayer::new());

    Router::new()
        .route("/", get(async || "hello\n"))
        .route("/long", get(async || "a long answer\n".repeat(100)))
        .route("/slow", get(slow))
        .route("/panic", get(panics))
        .layer(stack) // Last, so that it wraps all of the above.
}

fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok());
    info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

async fn slow() -> &'static str {
    sleep(TIMEOUT * 2).await;
    "at last\n"
}

async fn panics() -> &'static str {
    panic!("as it was asked to")
}
