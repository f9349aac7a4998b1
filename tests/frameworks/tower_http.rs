//! The layer among those of tower-http and tower, outside and inside of it.

use crate::support::{ready, starting, value, whole};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    fmt::Debug,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_test::{assert_pending, task};
use tower::{
    Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed, util::BoxCloneService,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    classify::ServerErrorsFailureClass,
    compression::{CompressionLayer, predicate::SizeAbove},
    cors::{self, CorsLayer},
    decompression::DecompressionLayer,
    limit::RequestBodyLimitLayer,
    map_response_body::MapResponseBodyLayer,
    metrics::InFlightRequestsLayer,
    normalize_path::NormalizePathLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reason, Reporter,
    gate::{Hold, MARKER_HEADER, Refusal},
};

const REFUSED: &str = "not ready: starting\n";
const RED: &str = "not ready\n";
const GREEN: &str = "ready\n";

/// The application: answers with the path of the request.
async fn application<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    match path {
        "/panic" => panic!("as it was asked to"),
        "/never" => pending().await,
        "/500" => {
            let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(response.body(Full::default()).unwrap())
        }
        _ => Ok(Response::new(Full::from(path.to_owned()))),
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("accept-encoding", "gzip");
    request.body(Full::default()).unwrap()
}

async fn ask<S, B>(service: &S, path: &str) -> Response<String>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Debug,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    whole(service.clone().oneshot(get(path)).await.unwrap()).await
}

/// A layer that holds requests for a minute, and releases one at a time.
fn holding(readiness: &Readiness) -> ReadinessLayer {
    let hold = Hold::builder(Duration::from_secs(60)).release(1);
    let hold = hold.build().unwrap();
    ReadinessLayer::new(readiness).when_starting(Action::Hold(hold))
}

// === with every neighbour ===

/// Checks that the probes and the gate work in the service that `build` makes.
async fn works<S, B>(stack: &str, build: impl FnOnce(ReadinessLayer) -> S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + 'static,
    S::Error: Debug,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let (readiness, storage) = starting();
    // All settings by which a layer changes a response.
    let layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .observe_outcomes();
    let service = build(layer);
    let ask = move |path: &str| -> LocalBoxFuture<'static, Response<String>> {
        let answer = service.clone().oneshot(get(path));
        Box::pin(async { whole(answer.await.unwrap()).await })
    };
    works_when_asked(stack, &readiness, &storage, &ask).await;
}

/// Not generic: each of the many stacks compiles no more than its answer.
async fn works_when_asked(
    stack: &str,
    readiness: &Readiness,
    storage: &Reporter,
    ask: &dyn Fn(&str) -> LocalBoxFuture<'static, Response<String>>,
) {
    let refused = ask("/").await;
    assert_eq!(refused.status(), 503, "{stack}");
    assert!(refused.extensions().get::<Refusal>().is_some(), "{stack}");
    assert_eq!(value(refused.headers(), "x-readiness"), "starting");
    assert_eq!(refused.body(), REFUSED, "{stack}");
    let red = ask("/readyz").await;
    assert_eq!((red.status().as_u16(), red.body().as_str()), (503, RED));

    storage.ready();
    let served = ask("/page").await;
    assert_eq!(served.status(), 200, "{stack}");
    assert_eq!(served.body(), "/page", "{stack}");
    let green = ask("/readyz").await;
    assert_eq!(
        (green.status().as_u16(), green.body().as_str()),
        (200, GREEN)
    );
    assert_eq!(readiness.in_flight(), Some(0), "{stack}");
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failed()), (1, 0), "{stack}");
}

#[tokio::test]
async fn layers_of_tower_http_stand_outside() {
    let outside = ServiceBuilder::new;
    let minute = Duration::from_secs(60);
    works("trace", |layer| {
        let outside = outside().layer(TraceLayer::new_for_http());
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("timeout", |layer| {
        let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, minute);
        outside()
            .layer(timeout)
            .layer(layer)
            .service_fn(application)
    })
    .await;
    works("catch panic", |layer| {
        let outside = outside().layer(CatchPanicLayer::new());
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("normalize path", |layer| {
        let outside = outside().layer(NormalizePathLayer::trim_trailing_slash());
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("compression", |layer| {
        let outside = outside().layer(CompressionLayer::new());
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("in-flight requests", |layer| {
        let outside = outside().layer(InFlightRequestsLayer::pair().0);
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("map response body", |layer| {
        let outside = outside().layer(MapResponseBodyLayer::new(BodyExt::boxed));
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("cors", |layer| {
        let outside = outside().layer(CorsLayer::permissive());
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("request body limit", |layer| {
        let outside = outside().layer(RequestBodyLimitLayer::new(1_024));
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("request id", |layer| {
        outside()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(layer)
            .service_fn(application)
    })
    .await;
}

#[tokio::test]
async fn layers_of_tower_http_stand_inside() {
    let minute = Duration::from_secs(60);
    let gate = |layer| ServiceBuilder::new().layer(layer);
    works("trace", |layer| {
        let inside = gate(layer).layer(TraceLayer::new_for_http());
        inside.service_fn(application)
    })
    .await;
    works("timeout", |layer| {
        let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, minute);
        gate(layer).layer(timeout).service_fn(application)
    })
    .await;
    works("catch panic", |layer| {
        let inside = gate(layer).layer(CatchPanicLayer::new());
        inside.service_fn(application)
    })
    .await;
    works("normalize path", |layer| {
        let inside = gate(layer).layer(NormalizePathLayer::trim_trailing_slash());
        inside.service_fn(application)
    })
    .await;
    works("compression", |layer| {
        let inside = gate(layer).layer(CompressionLayer::new());
        inside.service_fn(application)
    })
    .await;
    works("in-flight requests", |layer| {
        let inside = gate(layer).layer(InFlightRequestsLayer::pair().0);
        inside.service_fn(application)
    })
    .await;
    works("map response body", |layer| {
        // Neither `Default` nor `Sync`.
        let inside = gate(layer).layer(MapResponseBodyLayer::new(
            |body: Full<Bytes>| -> std::pin::Pin<Box<dyn Body<Data = Bytes, Error = Infallible>>> {
                Box::pin(body)
            },
        ));
        inside.service_fn(application)
    })
    .await;
    works("request body limit", |layer| {
        let inside = gate(layer).layer(RequestBodyLimitLayer::new(1_024));
        inside.service_fn(application)
    })
    .await;
}

#[tokio::test]
async fn layers_of_tower_stand_on_either_side() {
    let minute = Duration::from_secs(60);
    let stack = ServiceBuilder::new;
    works("a concurrency limit outside", |layer| {
        let outside = stack().concurrency_limit(1);
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("load shedding outside", |layer| {
        let outside = stack().load_shed().concurrency_limit(1);
        outside.layer(layer).service_fn(application)
    })
    .await;
    works("a buffer outside", |layer| {
        stack().buffer(1).layer(layer).service_fn(application)
    })
    .await;
    works("a timeout outside", |layer| {
        stack().timeout(minute).layer(layer).service_fn(application)
    })
    .await;
    works("boxed outside", |layer| {
        stack().boxed_clone().layer(layer).service_fn(application)
    })
    .await;
    works("a concurrency limit inside", |layer| {
        let inside = stack().layer(layer).concurrency_limit(1);
        inside.service_fn(application)
    })
    .await;
    works("load shedding inside", |layer| {
        let inside = stack().layer(layer).load_shed().concurrency_limit(1);
        inside.service_fn(application)
    })
    .await;
    works("a buffer inside", |layer| {
        stack().layer(layer).buffer(1).service_fn(application)
    })
    .await;
    works("a timeout inside", |layer| {
        stack().layer(layer).timeout(minute).service_fn(application)
    })
    .await;
    works("boxed inside", |layer| {
        let boxed = BoxCloneService::new(service_fn(application));
        stack().layer(layer).service(boxed)
    })
    .await;
}

#[tokio::test]
async fn a_whole_stack_of_layers_works() {
    let minute = Duration::from_secs(60);
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, minute);
    works("all of them", |layer| {
        ServiceBuilder::new()
            .layer(NormalizePathLayer::trim_trailing_slash())
            .layer(TraceLayer::new_for_http())
            .layer(CompressionLayer::new())
            .layer(layer)
            .layer(InFlightRequestsLayer::pair().0)
            .layer(timeout)
            .layer(CatchPanicLayer::new())
            .concurrency_limit(8)
            .service_fn(application)
    })
    .await;
}

// === trace ===

type Log = Arc<Mutex<Vec<String>>>;

/// A trace that writes statuses and failures to `log`, instead of to tracing.
macro_rules! trace_to {
    ($log:expr) => {{
        let (responses, failures) = ($log.clone(), $log.clone());
        TraceLayer::new_for_http()
            .on_response(move |response: &Response<_>, _: Duration, _: &_| {
                let status = response.status().as_u16();
                responses.lock().unwrap().push(status.to_string());
            })
            .on_failure(move |_: ServerErrorsFailureClass, _: Duration, _: &_| {
                failures.lock().unwrap().push("failure".into());
            })
    }};
}

#[tokio::test]
async fn a_trace_outside_sees_every_answer_and_one_inside_the_admitted() {
    let (readiness, storage) = starting();
    let (outside, inside) = (Log::default(), Log::default());
    let service = ServiceBuilder::new()
        .layer(trace_to!(outside))
        .layer(ReadinessLayer::new(&readiness))
        .layer(trace_to!(inside))
        .service_fn(application);
    let take = |log: &Log| std::mem::take(&mut *log.lock().unwrap()).join(" ");

    ask(&service, "/").await;
    assert_eq!(take(&outside), "503 failure");
    // A red probe has not failed, but this classifier knows only the status.
    ask(&service, "/readyz").await;
    assert_eq!(take(&outside), "503 failure");
    assert_eq!(take(&inside), "");

    storage.ready();
    ask(&service, "/readyz").await;
    assert_eq!((take(&outside), take(&inside)), ("200".into(), "".into()));
    ask(&service, "/").await;
    assert_eq!(
        (take(&outside), take(&inside)),
        ("200".into(), "200".into())
    );
}

#[cfg(feature = "tower-http")]
mod classified {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tower_http::classify::{
        ClassifyResponse, GrpcErrorsAsFailures, GrpcFailureClass, MakeClassifier,
        ServerErrorsAsFailures, SharedClassifier,
    };
    use tower_readiness::gate::ReadinessAsSuccess;

    /// A trace that counts failures, by a classifier of tower-http's.
    macro_rules! counting {
        ($classifier:expr, $class:ty, $failures:expr) => {{
            let failures = Arc::clone(&$failures);
            TraceLayer::new($classifier).on_failure(move |_: $class, _: Duration, _: &_| {
                failures.fetch_add(1, Ordering::Relaxed);
            })
        }};
    }

    fn http() -> SharedClassifier<ReadinessAsSuccess<ServerErrorsAsFailures>> {
        ReadinessAsSuccess::new(ServerErrorsAsFailures::new()).into_make_classifier()
    }

    #[tokio::test]
    async fn a_trace_outside_takes_neither_refusals_nor_red_probes_for_failures() {
        let (readiness, storage) = starting();
        let failures = Arc::new(AtomicUsize::new(0));
        let service = ServiceBuilder::new()
            .layer(counting!(http(), ServerErrorsFailureClass, failures))
            .layer(CompressionLayer::new())
            .layer(CorsLayer::permissive())
            .layer(ReadinessLayer::new(&readiness))
            .service_fn(application);
        for path in ["/", "/readyz", "/startupz"] {
            assert_eq!(ask(&service, path).await.status(), 503, "{path}");
        }
        assert_eq!(failures.load(Ordering::Relaxed), 0);

        storage.ready();
        assert_eq!(ask(&service, "/500").await.status(), 500);
        assert_eq!(failures.load(Ordering::Relaxed), 1, "the application's own");
        assert_eq!(ask(&service, "/readyz").await.status(), 200);
        assert_eq!(ask(&service, "/").await.status(), 200);
        assert_eq!(failures.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_trace_of_grpc_does_not_take_refusals_for_failures() {
        let (readiness, storage) = starting();
        let failures = Arc::new(AtomicUsize::new(0));
        let classifier = ReadinessAsSuccess::new(GrpcErrorsAsFailures::new());
        let service = ServiceBuilder::new()
            .layer(counting!(
                classifier.into_make_classifier(),
                GrpcFailureClass,
                failures
            ))
            .layer(ReadinessLayer::new(&readiness))
            .service_fn(async |_: Request<Full<Bytes>>| {
                let internal = Response::builder().header("grpc-status", "13");
                Ok::<_, Infallible>(internal.body(Full::<Bytes>::default()).unwrap())
            });
        let call = async || {
            let call = Request::post("/test.Echo/Once").header("content-type", "application/grpc");
            let call = call.body(Full::default()).unwrap();
            let response = service.clone().oneshot(call).await.unwrap();
            value(response.headers(), "grpc-status").to_owned()
        };
        assert_eq!(call().await, "14");
        assert_eq!(failures.load(Ordering::Relaxed), 0);
        storage.ready();
        assert_eq!(call().await, "13");
        assert_eq!(failures.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_error_of_the_service_stays_a_failure() {
        let classifier = http().make_classifier(&Request::new(()));
        let class = classifier.classify_error(&"broken pipe");
        assert!(matches!(class, ServerErrorsFailureClass::Error(error) if error == "broken pipe"));
    }
}

#[tokio::test]
async fn a_trace_inside_and_drift_classify_alike() {
    let (readiness, _storage) = ready();
    let (outside, inside) = (Log::default(), Log::default());
    let service = ServiceBuilder::new()
        .layer(trace_to!(outside))
        .layer(ReadinessLayer::new(&readiness).observe_outcomes())
        .layer(trace_to!(inside))
        .service_fn(application);
    ask(&service, "/500").await;
    ask(&service, "/").await;
    ask(&service, "/readyz").await;
    let take = |log: &Log| std::mem::take(&mut *log.lock().unwrap()).join(" ");
    assert_eq!(take(&inside), "500 failure 200");
    assert_eq!(take(&outside), "500 failure 200 200");
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failed()), (2, 1));
}

/// A panic that is caught inside is a 500, and outside it is still seen.
#[tokio::test]
async fn panics_are_drift_wherever_they_are_caught() {
    for inside in [false, true] {
        let (readiness, _storage) = ready();
        let observing = ReadinessLayer::new(&readiness).observe_outcomes();
        let response = if inside {
            let service = ServiceBuilder::new()
                .layer(observing)
                .layer(CatchPanicLayer::new())
                .service_fn(application);
            ask(&service, "/panic").await
        } else {
            let service = ServiceBuilder::new()
                .layer(CatchPanicLayer::new())
                .layer(observing)
                .service_fn(application);
            ask(&service, "/panic").await
        };
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let drift = readiness.drift().unwrap();
        assert_eq!((drift.admitted(), drift.failed()), (1, 1), "{inside}");
    }
}

// === CORS ===

/// Whether a browser shows the response to a script of another origin.
fn is_readable<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    headers.contains_key("access-control-allow-origin")
}

fn of_a_script(method: Method, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("origin", "https://app.example");
    request.body(Full::default()).unwrap()
}

/// The order that "add the layer last" gives.
#[tokio::test]
async fn cors_inside_hides_refusals_from_scripts() {
    let (readiness, storage) = starting();
    let service = ServiceBuilder::new()
        .layer(ReadinessLayer::new(&readiness))
        .layer(CorsLayer::permissive())
        .service_fn(application);
    let ask = async |request| service.clone().oneshot(request).await.unwrap();
    let refused = ask(of_a_script(Method::GET, "/")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!is_readable(&refused));
    // So is a preflight, and the browser does not send the request at all.
    let preflight = ask(of_a_script(Method::OPTIONS, "/")).await;
    assert_eq!(preflight.status(), StatusCode::SERVICE_UNAVAILABLE);

    storage.ready();
    assert!(is_readable(&ask(of_a_script(Method::GET, "/")).await));
    let options = ask(of_a_script(Method::OPTIONS, "/readyz")).await;
    assert_eq!(options.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn cors_outside_shows_refusals_to_scripts_and_answers_options_itself() {
    let (readiness, _storage) = starting();
    let cors = CorsLayer::new()
        .allow_origin(cors::Any)
        .expose_headers([RETRY_AFTER, MARKER_HEADER]);
    let service = ServiceBuilder::new()
        .layer(cors)
        .layer(ReadinessLayer::new(&readiness))
        .service_fn(application);
    let ask = async |request| service.clone().oneshot(request).await.unwrap();
    let refused = ask(of_a_script(Method::GET, "/")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_readable(&refused));
    let exposed = value(refused.headers(), "access-control-expose-headers");
    for header in ["retry-after", "x-readiness"] {
        assert!(refused.headers().contains_key(header));
        assert!(exposed.split(',').any(|it| it == header), "{exposed}");
    }

    // So a check has to name its method: one by OPTIONS never turns red.
    let options = ask(of_a_script(Method::OPTIONS, "/readyz")).await;
    assert_eq!(options.status(), StatusCode::OK);
    let red = ask(of_a_script(Method::GET, "/readyz")).await;
    assert_eq!(red.status(), StatusCode::SERVICE_UNAVAILABLE);
}

// === timeouts ===

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_ends_a_hold() {
    let (readiness, _storage) = starting();
    let layer = holding(&readiness);
    let counts = layer.counts();
    let second = Duration::from_secs(1);

    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, second);
    let service = ServiceBuilder::new()
        .layer(timeout)
        .layer(layer.clone())
        .service_fn(application);
    let late = ask(&service, "/").await;
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counts.held(Reason::Starting), 1);
    assert_eq!(counts.waiting(Reason::Starting), 0);

    let service = ServiceBuilder::new()
        .timeout(second)
        .layer(layer)
        .service_fn(application);
    let late = service.oneshot(get("/")).await.unwrap_err();
    assert!(late.is::<Elapsed>(), "{late}");
    assert_eq!(counts.held(Reason::Starting), 2);
    assert_eq!(counts.waiting(Reason::Starting), 0);
    assert_eq!(counts.refused(Reason::Starting), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_inside_begins_when_a_held_request_is_let_go() {
    let (readiness, storage) = starting();
    let second = Duration::from_secs(1);
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, second);
    let service = ServiceBuilder::new()
        .layer(holding(&readiness))
        .layer(timeout)
        .service_fn(application);

    let much_later = async {
        tokio::time::sleep(second * 30).await;
        storage.ready();
    };
    let (held, ()) = tokio::join!(ask(&service, "/"), much_later);
    assert_eq!(held.status(), StatusCode::OK);

    let late = ask(&service, "/never").await;
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
}

// === panics ===

#[tokio::test]
async fn a_panicking_handler_is_a_500_wherever_it_is_caught() {
    let (readiness, storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let catch = CatchPanicLayer::new;
    let outside = ServiceBuilder::new().layer(catch()).layer(layer.clone());
    let outside = outside.service_fn(application);
    let inside = ServiceBuilder::new().layer(layer).layer(catch());
    let inside = inside.service_fn(application);

    let status = async |path| {
        let outside = ask(&outside, path).await.status().as_u16();
        let inside = ask(&inside, path).await.status().as_u16();
        (outside, inside)
    };
    assert_eq!(status("/panic").await, (500, 500));
    // The next request is served.
    assert_eq!(status("/").await, (200, 200));
    storage.failing("disk full");
    assert_eq!(status("/panic").await, (503, 503));
    assert_eq!(status("/readyz").await, (503, 503));
}

#[tokio::test]
async fn a_held_request_that_panics_lets_the_next_one_go() {
    let (readiness, storage) = starting();
    let layer = holding(&readiness);
    let counts = layer.counts();
    let service = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(layer)
        .service_fn(application);

    let mut panics = task::spawn(ask(&service, "/panic"));
    let mut next = task::spawn(ask(&service, "/next"));
    assert_pending!(panics.poll());
    assert_pending!(next.poll());
    storage.ready();
    assert_eq!(panics.await.status(), 500);
    let next = crate::support::soon(next).await;
    assert_eq!(next.body(), "/next");
    assert_eq!(counts.waiting(Reason::Starting), 0);
}

// === paths ===

#[tokio::test]
async fn paths_normalized_outside_are_probed_as_they_become() {
    let (readiness, _storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let trim = NormalizePathLayer::trim_trailing_slash;
    let outside = ServiceBuilder::new().layer(trim()).layer(layer.clone());
    let outside = outside.service_fn(application);
    let inside = ServiceBuilder::new().layer(layer).layer(trim());
    let inside = inside.service_fn(application);

    for (path, normalized, raw) in [
        ("/livez", "live\n", "live\n"),
        ("/livez/", "live\n", "live\n"),
        ("/livez///", "live\n", REFUSED),
        ("//livez", "live\n", REFUSED),
        ("/livez//?x=/", "live\n", REFUSED),
        ("/page/", REFUSED, REFUSED),
    ] {
        assert_eq!(ask(&outside, path).await.body(), normalized, "{path}");
        assert_eq!(ask(&inside, path).await.body(), raw, "{path}");
    }

    // What appends slashes instead does no harm: one is allowed.
    let append = ServiceBuilder::new()
        .layer(NormalizePathLayer::append_trailing_slash())
        .layer(ReadinessLayer::new(&readiness))
        .service_fn(application);
    assert_eq!(ask(&append, "/livez").await.body(), "live\n");
}

// === bodies ===

#[tokio::test]
async fn answers_compressed_outside_are_readable() {
    let (readiness, storage) = starting();
    let compressed = ServiceBuilder::new()
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(0)))
        .layer(ReadinessLayer::new(&readiness))
        .service_fn(application);
    let service = ServiceBuilder::new()
        .layer(DecompressionLayer::new())
        .service(compressed.clone());
    let encoding = async |path| {
        let response = compressed.clone().oneshot(get(path)).await.unwrap();
        value(response.headers(), "content-encoding").to_owned()
    };

    for (path, body) in [("/", REFUSED), ("/readyz", RED), ("/livez", "live\n")] {
        assert_eq!(encoding(path).await, "gzip", "{path}");
        let response = ask(&service, path).await;
        assert_eq!(response.body(), body);
        assert_eq!(value(response.headers(), "cache-control"), "no-store");
    }
    let refused = ask(&service, "/").await;
    assert_eq!(value(refused.headers(), "x-readiness"), "starting");
    assert_ne!(value(refused.headers(), "retry-after"), "");
    storage.ready();
    assert_eq!(encoding("/").await, "gzip");
    assert_eq!(ask(&service, "/").await.body(), "/");
}

#[tokio::test]
async fn compression_inside_leaves_probes_and_refusals_plain() {
    let (readiness, storage) = ready();
    let service = ServiceBuilder::new()
        .layer(ReadinessLayer::new(&readiness))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(0)))
        .service_fn(application);
    let encoded = async |path| {
        let response = service.clone().oneshot(get(path)).await.unwrap();
        response.headers().contains_key(CONTENT_ENCODING)
    };
    assert!(encoded("/").await);
    assert!(!encoded("/readyz").await);
    storage.failing("disk full");
    assert!(!encoded("/").await);
}

#[tokio::test]
async fn bodies_mapped_outside_are_of_every_answer() {
    let (readiness, storage) = starting();
    let shout = MapResponseBodyLayer::new(|body| {
        BodyExt::map_frame(body, |frame| {
            frame.map_data(|data: Bytes| Bytes::from(data.to_ascii_uppercase()))
        })
    });
    let service = ServiceBuilder::new()
        .layer(shout)
        .layer(ReadinessLayer::new(&readiness))
        .service_fn(application);
    assert_eq!(ask(&service, "/page").await.body(), "NOT READY: STARTING\n");
    assert_eq!(ask(&service, "/livez").await.body(), "LIVE\n");
    storage.ready();
    assert_eq!(ask(&service, "/page").await.body(), "/PAGE");
}

// === counting and limiting ===

#[tokio::test]
async fn requests_in_flight_are_the_held_outside_and_the_admitted_inside() {
    let (readiness, storage) = starting();
    let (count_outside, outside) = InFlightRequestsLayer::pair();
    let (count_inside, inside) = InFlightRequestsLayer::pair();
    let service = ServiceBuilder::new()
        .layer(count_outside)
        .layer(holding(&readiness))
        .layer(count_inside)
        .service_fn(application);
    let in_flight = || (outside.get(), inside.get());

    let mut held = task::spawn(service.clone().oneshot(get("/never")));
    assert!(held.poll().is_pending());
    assert_eq!(in_flight(), (1, 0));
    let probe = service.clone().oneshot(get("/readyz")).await.unwrap();
    assert_eq!(in_flight(), (2, 0));
    drop(probe);

    storage.ready();
    assert!(held.poll().is_pending());
    assert_eq!(in_flight(), (1, 1));
    drop(held);
    assert_eq!(in_flight(), (0, 0));
}

/// The place for a limit is inside: outside it keeps probes waiting too.
#[tokio::test]
async fn a_limit_outside_is_in_the_way_of_probes_and_one_inside_is_not() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let outside = ServiceBuilder::new().concurrency_limit(1);
    let outside = outside.layer(layer.clone()).service_fn(application);
    let inside = ServiceBuilder::new().layer(layer).concurrency_limit(1);
    let inside = inside.service_fn(application);

    let mut busy_outside = task::spawn(ask(&outside, "/never"));
    let mut busy_inside = task::spawn(ask(&inside, "/never"));
    assert_pending!(busy_outside.poll());
    assert_pending!(busy_inside.poll());

    assert_pending!(task::spawn(ask(&outside, "/readyz")).poll());
    assert_eq!(ask(&inside, "/readyz").await.body(), GREEN);
    assert_pending!(task::spawn(ask(&inside, "/")).poll());

    drop((busy_outside, busy_inside));
    assert_eq!(ask(&outside, "/readyz").await.body(), GREEN);
    assert_eq!(ask(&inside, "/").await.body(), "/");
}

#[tokio::test]
async fn load_shed_outside_takes_probes_and_inside_only_traffic() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    let shed = || ServiceBuilder::new().load_shed().concurrency_limit(1);
    let outside = shed().layer(layer.clone()).service_fn(application);
    let inside = ServiceBuilder::new().layer(layer);
    let inside = inside.service(shed().service(service_fn(application)));

    let mut busy_outside = task::spawn(outside.clone().oneshot(get("/never")));
    let mut busy_inside = task::spawn(inside.clone().oneshot(get("/never")));
    assert_pending!(busy_outside.poll());
    assert_pending!(busy_inside.poll());

    let shed = outside.oneshot(get("/readyz")).await.unwrap_err();
    assert!(shed.is::<Overloaded>(), "{shed}");
    let shed = inside.clone().oneshot(get("/")).await.unwrap_err();
    assert!(shed.is::<Overloaded>(), "{shed}");
    assert_eq!(ask(&inside, "/readyz").await.body(), GREEN);
}
