//! The subsystems, the routes, and around them the layers that a service usually has,
//! in the order in which they work together.

#[path = "database.rs"]
pub(crate) mod database;

use axum::{
    Router,
    extract::{Path, State},
    http::{
        HeaderName, Request, Response, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    routing::get,
};
use database::Database;
use deadpool_postgres::Pool;
use std::{error::Error, sync::Arc, time::Duration};
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
    BuildError, Readiness, ReadinessLayer, Subsystem,
    gate::{MARKER_HEADER, ReadinessAsSuccess, Refusal},
    probe::ProbeAnswer,
};
use tracing::{Span, info, info_span};

/// How long a handler may take until it has its response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Declares what the service needs. The check of an idle database asks at this interval.
pub(crate) fn registry(pool: &Pool, interval: Duration) -> Result<Readiness, BuildError> {
    Readiness::builder()
        .subsystem(Subsystem::new("listener"))
        .subsystem(database::subsystem(pool, interval))
        // Without the database the service serves all other routes.
        .scope("data", ["database"])
        .build()
}

/// The whole application.
pub(crate) fn app(readiness: &Readiness, pool: Pool) -> Result<Router, Box<dyn Error>> {
    let request_id = HeaderName::from_static("x-request-id");
    // Refusals and red probes are no errors of the application.
    let classifier = ReadinessAsSuccess::new(ServerErrorsAsFailures::new());
    let trace = TraceLayer::new(classifier.into_make_classifier())
        .make_span_with(span)
        .on_request(())
        .on_response(log_response);
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

    let data_gate = ReadinessLayer::gate(readiness.scope("data")?);
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/divide/{by}", get(divide).layer(data_gate))
        .route("/long", get(async || "a long answer\n".repeat(100)))
        .route("/slow", get(slow))
        .route("/panic", get(panics))
        .with_state(Arc::new(Database::new(pool, readiness)?))
        .layer(stack); // Last, so that it wraps all of the above.
    Ok(app)
}

fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok());
    info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

/// Logs a line for each response of the application. Probes come every second, and the
/// crate counts and logs the refusals.
fn log_response<B>(response: &Response<B>, latency: Duration, _: &Span) {
    let extensions = response.extensions();
    if extensions.get::<ProbeAnswer>().is_none() && extensions.get::<Refusal>().is_none() {
        info!(status = response.status().as_u16(), ?latency, "answered");
    }
}

async fn divide(
    State(database): State<Arc<Database>>,
    Path(by): Path<i32>,
) -> Result<String, (StatusCode, String)> {
    match database.divide(by).await {
        Ok(result) => Ok(format!("{result}\n")),
        Err(error) if error.is_of_the_request() => {
            Err((StatusCode::BAD_REQUEST, format!("{error}\n")))
        }
        // Reasons are for operators, and the registry has this one.
        Err(_) => Err((
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n".to_owned(),
        )),
    }
}

async fn slow() -> &'static str {
    sleep(TIMEOUT * 2).await;
    "at last\n"
}

async fn panics() -> &'static str {
    panic!("as it was asked to")
}
