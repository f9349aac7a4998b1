//! Promise: the admit path allocates nothing. A test binary of its own, because it has
//! a counting allocator.

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Empty;
use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Layer, Service, util::MapRequestLayer};
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_readiness::{
    Group, MemberReporter, Readiness, ReadinessLayer, Reporter, Subsystem,
    gate::{Classified, ReadinessBody, UnreadBody},
};
#[cfg(feature = "check")]
use tower_readiness::{State, SubsystemView};

fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[derive(Clone)]
struct Inner;

impl Service<Request<String>> for Inner {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new(Empty::new())))
    }
}

fn serve<S, B>(service: &mut S, path: &Uri) -> u16
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
{
    let mut request = Request::new(String::new());
    *request.uri_mut() = path.clone();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
        panic!("everything is ready at once");
    };
    response.status().as_u16()
}

#[test]
fn an_admitted_request_allocates_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    let mut service = ReadinessLayer::new(&readiness).layer(Inner);

    // Paths that may and paths that cannot be a probe path.
    for path in ["/", "/index.html", "/reports/2026", "/livez-not"] {
        let path = Uri::from_static(path);
        let in_place = allocations(|| assert_eq!(serve(&mut service, &path), 200));
        assert_eq!(in_place, 0, "{path} in place");
        let cloned = allocations(|| assert_eq!(serve(&mut service.clone(), &path), 200));
        assert_eq!(cloned, 0, "{path} cloned");
    }

    // The allocator counts: a refusal does allocate.
    storage.failing("gone");
    let refused = allocations(|| assert_eq!(serve(&mut service, &Uri::from_static("/")), 503));
    assert!(refused > 0);
}

#[test]
fn an_admitted_request_allocates_nothing_while_draining_either() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    readiness.drain();
    let service = ReadinessLayer::gate(&readiness);
    let mut service = service.layer(Inner);
    let path = Uri::from_static("/");
    // The first request sets up the locals of the thread.
    serve(&mut service, &path);
    let mut request = Request::new(String::new());
    *request.version_mut() = http::Version::HTTP_2;
    let admitted = allocations(|| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(service.call(request)).poll(&mut cx).is_ready());
    });
    assert_eq!(admitted, 0);
}

#[test]
fn a_gate_without_tower_admits_without_an_allocation() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.build().unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let gate = ReadinessLayer::gate(&readiness)
        .count_in_flight()
        .observe_outcomes()
        .direct();
    let request = Request::new(());
    // The first ones set up the locals of the thread and the head of work without one.
    let admit = || {
        gate.decide(&request).unwrap().succeeded();
        gate.try_admit().unwrap().succeeded();
    };
    admit();
    assert_eq!(allocations(admit), 0);
    readiness.drain();
    admit();
    assert_eq!(allocations(admit), 0, "while draining");
}

#[test]
fn a_refusal_without_a_body_allocates_nothing_for_the_body() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness);
    let path = Uri::from_static("/");
    let refused = |layer: ReadinessLayer| {
        let mut service = layer.layer(Inner);
        // The first request sets up the locals of the thread.
        serve(&mut service, &path);
        allocations(|| assert_eq!(serve(&mut service, &path), 503))
    };
    let ignored = refused(layer.clone().unread_body(UnreadBody::ignore()));
    assert_eq!(refused(layer), ignored);
}

#[test]
fn an_axum_router_boxes_no_body_that_is_given_back() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let admit = ReadinessLayer::new(&readiness);
    let unboxed =
        MapResponseBodyLayer::new(|body: ReadinessBody<Body>| body.into_inner_or_else(Body::new));
    let route = || Router::new().route("/", get(async || "ok"));
    let ask = |mut app: Router, path, status| {
        let path = Uri::from_static(path);
        allocations(|| assert_eq!(serve(&mut app, &path), status))
    };

    // axum boxes a clone of each layer that has fields.
    let shared = readiness.clone();
    let other_layer = MapRequestLayer::new(move |request: Request<Body>| {
        let _shared = &shared;
        request
    });
    let least = ask(route().layer(other_layer), "/", 200);
    let boxed = ask(route().layer(admit.clone()), "/", 200);
    assert_eq!(boxed, least + 1);
    let given_back = ask(route().layer((unboxed.clone(), admit.clone())), "/", 200);
    assert_eq!(given_back, least);

    // Bodies that stay with the layer.
    let counting = admit.clone().count_in_flight();
    let counted = ask(route().layer((unboxed.clone(), counting)), "/", 200);
    assert_eq!(counted, boxed);
    ask(route().layer((unboxed, admit)), "/livez", 200);
}

#[test]
fn counting_requests_in_flight_allocates_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let mut service = layer.layer(Inner);
    let path = Uri::from_static("/");
    // The first request numbers the thread.
    serve(&mut service, &path);
    let counted = allocations(|| assert_eq!(serve(&mut service, &path), 200));
    assert_eq!(counted, 0);
    let request = Request::new(String::new());
    let call = service.call(request);
    assert_eq!(readiness.in_flight(), Some(1), "it does count");
    drop(call);
}

#[test]
fn observing_outcomes_allocates_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let classifier = |response: &Response<()>| match response.status().as_u16() {
        500.. => Classified::Failure,
        _ => Classified::Success,
    };
    let path = Uri::from_static("/");
    for (layer, what) in [
        (ReadinessLayer::new(&readiness).observe_outcomes(), "alone"),
        (
            ReadinessLayer::new(&readiness)
                .observe_outcomes()
                .count_in_flight(),
            "with what is in flight",
        ),
        (
            ReadinessLayer::new(&readiness).observe_outcomes_with(classifier),
            "by a classifier",
        ),
    ] {
        let mut service = layer.layer(Inner);
        // The first request numbers the thread.
        serve(&mut service, &path);
        let before = readiness.drift().unwrap().admitted();
        let observed = allocations(|| assert_eq!(serve(&mut service, &path), 200));
        assert_eq!(observed, 0, "{what}");
        let after = readiness.drift().unwrap().admitted();
        assert_eq!(after, before + 1, "it does count {what}");
    }
}

#[test]
fn a_repeated_report_allocates_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.failing("gone");
    assert_eq!(allocations(|| storage.failing("gone")), 0);
    assert!(allocations(|| storage.failing("back soon")) > 0);
}

#[test]
fn a_heartbeat_allocates_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").ttl(Duration::from_secs(60)))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    let version = readiness.snapshot().version();
    assert_eq!(allocations(|| storage.heartbeat()), 0);
    assert_eq!(allocations(|| storage.ready()), 0, "a repeated report");
    assert_eq!(readiness.snapshot().version(), version);
}

#[test]
fn a_detached_reporter_allocates_nothing() {
    let reporter = Reporter::detached();
    let count = allocations(|| {
        reporter.starting("opens");
        reporter.ready();
        reporter.failing("gone");
        reporter.heartbeat();
        reporter.attribute("lag", "3").unwrap();
        reporter.retire();
    });
    assert_eq!(count, 0);
}

/// The bytes that `run` has allocated and not freed.
fn live(run: impl FnOnce()) -> i64 {
    allocation_counter::measure(run).count_current
}

#[test]
fn subsystems_that_come_and_go_leave_nothing_behind() {
    // The history keeps its last transitions, which differ in size.
    let builder = Readiness::builder().allow_empty().history(0);
    let readiness = builder.build().unwrap();
    let come_and_go = || {
        let reporters: Vec<_> = (0..500)
            .map(|index| {
                // So long that no other thread publishes a change of it, because
                // each thread is counted by itself.
                let subsystem = Subsystem::new(format!("tenant-{index}"))
                    .ttl(Duration::from_secs(3_600))
                    .hold_down(Duration::from_secs(3_600));
                let reporter = readiness.add(subsystem).unwrap();
                reporter.attribute("tenant", index.to_string()).unwrap();
                reporter.ready();
                reporter.failing("gone");
                reporter
            })
            .collect();
        reporters.into_iter().for_each(Reporter::retire);
    };
    // The tables grow once, to the largest number of entries at a time.
    come_and_go();
    for _ in 0..3 {
        assert_eq!(live(come_and_go), 0);
    }
    assert_eq!(readiness.snapshot().subsystems().count(), 0);
}

#[test]
fn the_history_keeps_the_memory_of_its_last_transitions_alone() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    let report = |times: u32| {
        for _ in 0..times {
            storage.failing("gone");
            storage.ready();
        }
    };
    report(1_000);
    // Up to one part of the history may be begun or dropped in between.
    let kept = allocation_counter::measure(|| report(10_000)).bytes_current;
    assert!(kept.abs() < 16_384, "{kept} bytes");
}

#[test]
fn layers_that_come_and_go_leave_only_their_counts_behind() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let path = Uri::from_static("/");
    let come_and_go = || {
        for index in 0..500 {
            let classifier = move |_: &Response<()>| match index % 4 {
                0 => Classified::Failure,
                _ => Classified::Success,
            };
            let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(classifier);
            let mut service = layer.count_in_flight().layer(Inner);
            assert_eq!(serve(&mut service, &path), 200);
        }
        assert_eq!(readiness.in_flight(), Some(0));
        readiness.drift().unwrap();
    };
    come_and_go();
    for _ in 0..3 {
        assert_eq!(live(come_and_go), 0);
    }
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failed()), (2_000, 500));
}

#[cfg(feature = "check")]
#[test]
fn checks_that_come_and_go_leave_nothing_behind() {
    use tower_readiness::check::{Check, Outcome};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let come_and_go = || {
        runtime.block_on(async {
            let reporters: Vec<_> = (0..500)
                .map(|index| {
                    let check = Check::every(Duration::from_secs(1)).failures(2);
                    let ask = || std::future::ready(Outcome::failing("gone"));
                    let subsystem = Subsystem::new(format!("tenant-{index}")).check(check, ask);
                    readiness.add(subsystem).unwrap()
                })
                .collect();
            tokio::time::sleep(Duration::from_secs(5)).await;
            let failing = |view: &SubsystemView| view.state() == State::Failing;
            assert!(readiness.snapshot().subsystems().all(failing));
            reporters.into_iter().for_each(Reporter::retire);
            let metrics = tokio::runtime::Handle::current().metrics();
            while metrics.num_alive_tasks() > 1 {
                tokio::task::yield_now().await;
            }
        });
    };
    come_and_go();
    come_and_go();
    // tokio keeps some allocations for later tasks.
    let left: Vec<_> = (0..4).map(|_| live(come_and_go)).collect();
    assert!(left.iter().all(|left| *left < 100), "{left:?}");
}

#[test]
fn a_registry_that_was_large_once_costs_no_more_than_before() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    let report_once = || {
        let measured = allocation_counter::measure(|| {
            storage.failing("gone");
            storage.ready();
        });
        measured.bytes_total
    };
    // One of eight also allocates room for transitions.
    let report = || report_once().min(report_once());
    // The first lines allocate more.
    for _ in 0..100 {
        report();
    }
    let before = report();
    let kept = allocation_counter::measure(|| {
        let tenants: Vec<_> = (0..5_000)
            .map(|index| {
                let tenant = Subsystem::new(format!("tenant-{index}"));
                let tenant = tenant.ttl(Duration::from_secs(3_600));
                let tenant = readiness.add(tenant).unwrap();
                tenant.ready();
                tenant
            })
            .collect();
        tenants.into_iter().for_each(Reporter::retire);
        // The next report drops the last large snapshot.
        report();
    });
    assert_eq!(report(), before);
    // 8 KB of them are the names in the history.
    assert!(kept.bytes_current < 28_000, "{} bytes", kept.bytes_current);
}

#[test]
fn the_remaining_of_many_subsystems_do_not_keep_the_slots_of_the_rest() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let tenants: Vec<_> = (0..5_000)
        .map(|index| {
            readiness
                .add(Subsystem::new(format!("tenant-{index}")))
                .unwrap()
        })
        .collect();
    let last = tenants.len() - 1;
    let mut stays = None;
    for (index, tenant) in tenants.into_iter().enumerate() {
        if index == last {
            stays = Some(tenant);
        } else {
            tenant.retire();
        }
    }
    let stays = stays.unwrap();
    let many = allocation_counter::measure(|| stays.failing("gone")).bytes_total;
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let one = readiness.add(Subsystem::new("tenant-4999")).unwrap();
    let few = allocation_counter::measure(|| one.failing("gone")).bytes_total;
    assert!(many < few + 200, "{many} bytes instead of {few}");
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_group_takes_at_most_400_bytes_and_its_report_none() {
    const MEMBERS: usize = 100_000;
    let group = Group::new("upstream").degraded_below(0.5);
    let builder = Readiness::builder().allow_empty().group(group);
    let readiness = builder.build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let mut members = Vec::with_capacity(MEMBERS);
    let table = allocation_counter::measure(|| {
        let names = (0..MEMBERS).map(|number| format!("[2001:db8::{number}]:8080"));
        members.extend(names.map(|name| group.add(name).unwrap()));
    });
    // A reporter is in the vector of the application.
    let reporter = size_of_val(&members[0]) as i64;
    let bytes = table.bytes_current / MEMBERS as i64 + reporter;
    assert!(bytes <= 400, "{bytes}");

    members.iter().for_each(MemberReporter::ready);
    members[0].failing("refused");
    let report = || {
        for member in &members[1..1_000] {
            member.degraded("");
            member.ready();
        }
    };
    // The set of the degraded members grows once.
    report();
    // Nothing is published, since the clock does not move and the state stays the same.
    assert_eq!(allocations(report), 0);
}
