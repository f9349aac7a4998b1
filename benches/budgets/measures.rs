//! The operations and the sizes that have budgets.

#[cfg(all(feature = "connections", feature = "events"))]
use crate::connections;
use crate::{
    members,
    operation::{Operation, paused_runtime, with_paused_clock},
    reports::{alternating, change, one_of_many, registry, wake_a_subscriber},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Layer, Service};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reporter,
    gate::ReadinessService,
    probe::{Detail, Probes},
};

/// An operation, and the name of another whose cost is subtracted.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) baseline: Option<&'static str>,
    /// How often the operation runs in one count.
    pub(crate) runs: u32,
    pub(crate) prepare: fn() -> Operation,
}

const RUNS: u32 = 1_000;

/// Begins with the baselines, which have no budget themselves. The cost of a service is
/// the difference to the bare service; a report or a reading counts as a whole.
pub(crate) const MEASURES: &[Measure] = &[
    baseline("empty_loop", || Box::new(|| ())),
    baseline("bare_in_place", || in_place(Bare, StatusCode::OK)),
    baseline("bare_cloned", || cloned(Bare)),
    baseline("bare_accepting", || accepting(Bare, "/", "*/*")),
    baseline("two_reports_and_admit", || hold_then_admit(false)),
    baseline("paused_clock", || with_paused_clock(|| || ())),
    measure("admit_in_place", "bare_in_place", || {
        in_place(admitting(|layer| layer), StatusCode::OK)
    }),
    measure("admit_cloned", "bare_cloned", || {
        cloned(admitting(|layer| layer))
    }),
    measure("count_in_flight", "bare_in_place", || {
        in_place(admitting(ReadinessLayer::count_in_flight), StatusCode::OK)
    }),
    measure("observe_outcomes", "bare_in_place", || {
        in_place(admitting(ReadinessLayer::observe_outcomes), StatusCode::OK)
    }),
    measure("refuse", "bare_in_place", || {
        let readiness = registry(1, false).0;
        let service = ReadinessLayer::new(&readiness).layer(Bare);
        in_place(service, StatusCode::SERVICE_UNAVAILABLE)
    }),
    measure("hold_then_admit", "two_reports_and_admit", || {
        hold_then_admit(true)
    }),
    measure("probe_text", "bare_accepting", || {
        accepting(probes(), "/readyz", "text/plain")
    }),
    measure("probe_json_verbose", "bare_accepting", || {
        accepting(probes(), "/readyz?verbose", "application/json")
    }),
    measure("report_repeated", "empty_loop", || {
        let (_, reporters) = registry(16, true);
        Box::new(move || reporters[8].ready())
    }),
    measure("report_changed_of_16", "empty_loop", || change(16)),
    measure("report_changed_of_1000", "empty_loop", || change(1_000)),
    measure("report_changed_of_100000", "empty_loop", || {
        let (_, reporter) = one_of_many(100_000);
        Box::new(alternating(reporter))
    }),
    measure("heartbeat", "empty_loop", || {
        let (_, reporters) = registry(16, true);
        Box::new(move || reporters[8].heartbeat())
    }),
    measure(
        "wake_a_subscriber",
        "report_changed_of_16",
        wake_a_subscriber,
    ),
    measure("read_a_snapshot", "empty_loop", || {
        let (readiness, reporters) = registry(16, true);
        Box::new(move || {
            black_box(&reporters);
            drop(black_box(readiness.snapshot()));
        })
    }),
    measure("member_repeated_of_5000", "empty_loop", || {
        members::repeated(5_000)
    }),
    measure("member_changed_of_5000", "paused_clock", || {
        with_paused_clock(|| members::changed(5_000))
    }),
    measure("member_changed_of_100000", "paused_clock", || {
        with_paused_clock(|| members::changed(100_000))
    }),
    measure("group_turned_of_5000", "paused_clock", || {
        with_paused_clock(|| members::turning(5_000))
    }),
    measure("group_turned_of_100000", "paused_clock", || {
        with_paused_clock(|| members::turning(100_000))
    }),
    measure("add_and_retire_a_member", "paused_clock", || {
        with_paused_clock(|| members::added_and_retired(5_000))
    }),
    measure("page_of_50_members", "bare_accepting", || {
        let (readiness, members) = members::group_of(5_000);
        let mut page = accepting(probes_of(&readiness), "/statusz/upstream", "text/plain");
        Box::new(move || {
            black_box(&members);
            page();
        })
    }),
    #[cfg(feature = "metrics")]
    measure("scrape_of_16", "empty_loop", scrape),
    #[cfg(all(feature = "connections", feature = "events"))]
    measure("event_to_100_streams", "empty_loop", || {
        connections::event_to_streams(100)
    })
    .runs(50),
];

const fn baseline(name: &'static str, prepare: fn() -> Operation) -> Measure {
    Measure {
        name,
        baseline: None,
        runs: RUNS,
        prepare,
    }
}

const fn measure(
    name: &'static str,
    baseline: &'static str,
    prepare: fn() -> Operation,
) -> Measure {
    Measure {
        name,
        baseline: Some(baseline),
        runs: RUNS,
        prepare,
    }
}

impl Measure {
    /// An operation that is slow under valgrind runs less often.
    #[cfg(all(feature = "connections", feature = "events"))]
    const fn runs(self, runs: u32) -> Self {
        Self { runs, ..self }
    }
}

/// A size in bytes, and its name.
pub(crate) type Size = (&'static str, fn() -> i64);

pub(crate) const SIZES: &[Size] = &[
    ("service_over_inner", || {
        bytes(size_of_val(&admitting(|layer| layer)))
    }),
    ("response_future_over_inner", || {
        let mut service = admitting(|layer| layer);
        let future = size_of_val(&service.call(request(&Uri::from_static("/"))));
        bytes(future - size_of::<<Bare as Service<Request<String>>>::Future>())
    }),
    ("snapshot_per_subsystem", snapshot_per_subsystem),
    ("member_of_5000", || members::bytes_of_one(5_000)),
    ("member_of_100000", || members::bytes_of_one(100_000)),
    #[cfg(all(feature = "connections", feature = "events"))]
    ("tracked_connection", connections::bytes_of_a_tracked),
];

fn bytes(size: usize) -> i64 {
    size.try_into().expect("a small number")
}

/// The bytes that an outdated snapshot of 1,000 subsystems keeps allocated, for each
/// subsystem, when the current snapshot shares no view with it.
fn snapshot_per_subsystem() -> i64 {
    let (readiness, reporters) = registry(1_000, true);
    let mut outdated = Some(readiness.snapshot());
    for reporter in &reporters {
        reporter.degraded("slow");
    }
    let freed = allocation_counter::measure(|| outdated = None);
    -freed.bytes_current / 1_000
}

// === services ===

/// A service without work: the layer has the rest of the cost.
#[derive(Clone)]
struct Bare;

impl Service<Request<String>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Full::from("ok"))))
    }
}

fn admitting(set: fn(ReadinessLayer) -> ReadinessLayer) -> ReadinessService<Bare> {
    let (readiness, reporters) = registry(1, true);
    // A dropped reporter would be a report.
    reporters.into_iter().for_each(Reporter::leave_ready);
    set(ReadinessLayer::new(&readiness)).layer(Bare)
}

fn request(path: &Uri) -> Request<String> {
    let mut request = Request::new(String::new());
    *request.uri_mut() = path.clone();
    black_box(request)
}

/// Calls a service whose readiness and response are there at once.
fn serve<S, B>(service: &mut S, request: Request<String>) -> StatusCode
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
{
    let is_ready = poll_fn(|cx| service.poll_ready(cx)).now_or_never();
    assert!(matches!(is_ready, Some(Ok(()))));
    let response = service.call(request).now_or_never();
    match black_box(&response) {
        Some(Ok(response)) => response.status(),
        _ => panic!("the response is pending"),
    }
}

fn in_place<S, B>(mut service: S, status: StatusCode) -> Operation
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible> + 'static,
{
    let path = Uri::from_static("/");
    Box::new(move || assert_eq!(serve(&mut service, request(&path)), status))
}

fn cloned<S, B>(service: S) -> Operation
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible> + Clone + 'static,
{
    let path = Uri::from_static("/");
    Box::new(move || {
        let status = serve(&mut black_box(&service).clone(), request(&path));
        assert_eq!(status, StatusCode::OK);
    })
}

/// A request that is held because the process fails, and is admitted when it is
/// ready again. Without a hold, the request comes after that.
fn hold_then_admit(holds: bool) -> Operation {
    let runtime = paused_runtime();
    let (readiness, reporters) = registry(1, true);
    let hold = Action::hold(Duration::from_secs(10)).expect("a valid hold");
    let mut service = ReadinessLayer::new(&readiness)
        .when_failing(hold)
        .layer(Bare);
    let path = Uri::from_static("/");
    Box::new(move || {
        let _context = runtime.enter();
        let mut cx = Context::from_waker(Waker::noop());
        reporters[0].failing("gone");
        if holds {
            let mut response = pin!(service.call(request(&path)));
            assert!(response.as_mut().poll(&mut cx).is_pending());
            reporters[0].ready();
            assert!(black_box(response.as_mut().poll(&mut cx)).is_ready());
        } else {
            reporters[0].ready();
            serve(&mut service, request(&path));
        }
    })
}

/// The probes of a process with 16 subsystems, all of which they may show.
fn probes() -> Probes {
    let (readiness, reporters) = registry(16, true);
    reporters.into_iter().for_each(Reporter::leave_ready);
    probes_of(&readiness)
}

fn probes_of(readiness: &Readiness) -> Probes {
    let probes = Probes::builder(readiness).detail(Detail::Full);
    probes.build().expect("valid paths")
}

fn accepting<S, B>(mut service: S, path: &'static str, accept: &'static str) -> Operation
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible> + 'static,
{
    let path = Uri::from_static(path);
    Box::new(move || {
        let mut request = request(&path);
        let accept = HeaderValue::from_static(accept);
        request.headers_mut().insert(ACCEPT, accept);
        assert_eq!(serve(&mut service, request), StatusCode::OK);
    })
}

/// The text that Prometheus gets from a process with 16 subsystems.
#[cfg(feature = "metrics")]
fn scrape() -> Operation {
    use prometheus_client::{encoding::prometheus_text::encode, registry::Registry};
    let (readiness, reporters) = registry(16, true);
    reporters.into_iter().for_each(Reporter::leave_ready);
    let mut registry = Registry::default();
    readiness.register_metrics(&mut registry);
    Box::new(move || {
        let mut body = String::new();
        encode(&mut body, &registry).expect("a string takes all");
        black_box((&readiness, body));
    })
}
