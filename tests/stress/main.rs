//! Threads and tasks that report, reconfigure, read, wait and send requests at the same
//! time, through the lives of many processes.
//!
//! `STRESS_SECONDS=600` makes it last longer.

mod invariants;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use invariants::Newest;
use std::{
    convert::Infallible,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime,
    task::{JoinHandle, yield_now},
    time::timeout,
};
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_readiness::{
    Action, Group, Phase, Readiness, ReadinessLayer, Reason, Reporter, Role, Subsystem, Transition,
    gate::{DirectGate, Hold, Refusal},
};

/// Fails a wait that should have ended, such as that for a lost wake-up.
const SOON: Duration = Duration::from_secs(60);
const LIFE: Duration = Duration::from_millis(50);

#[test]
fn many_lives_of_a_process_under_stress() {
    let seconds = env::var("STRESS_SECONDS").map_or(5, |text| text.parse().unwrap());
    let ends = Instant::now() + Duration::from_secs(seconds);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let mut lives = 0;
    while lives == 0 || Instant::now() < ends {
        runtime.block_on(live());
        lives += 1;
    }
    println!("{lives} lives");
}

/// What the actors of one life share.
struct Process {
    readiness: Readiness,
    layer: ReadinessLayer,
    newest: Newest,
    ends: AtomicBool,
}

impl Process {
    /// The process with the reporters of `storage`, `index` and `beats`. It has started.
    fn start() -> (Arc<Self>, [Reporter; 3]) {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .subsystem(Subsystem::new("index"))
            .subsystem(
                Subsystem::new("beats")
                    .optional()
                    .ttl(Duration::from_secs(5)),
            )
            .group(
                Group::new("upstream")
                    .degraded_below(0.9)
                    .failing_below(0.1),
            )
            .scope("search", ["index"])
            .build()
            .unwrap();
        let reporters = ["storage", "index", "beats"].map(|name| readiness.reporter(name).unwrap());
        reporters.iter().for_each(Reporter::ready);
        let hold = Hold::builder(2 * SOON).max_waiting(4).release(2);
        let hold = Action::Hold(hold.build().unwrap());
        let layer = ReadinessLayer::new(&readiness)
            .when_failing(hold.clone())
            .when_paused(hold.clone())
            .when_saturated(hold)
            .count_in_flight()
            .observe_outcomes();
        let process = Arc::new(Self {
            readiness,
            layer,
            newest: Newest::default(),
            ends: AtomicBool::new(false),
        });
        (process, reporters)
    }

    /// Runs `turn` on a thread of its own until the life ends, at least once.
    fn thread(
        self: &Arc<Self>,
        mut turn: impl FnMut(&Self) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let process = Arc::clone(self);
        thread::spawn(move || {
            loop {
                turn(&process);
                if process.ends.load(Ordering::Relaxed) {
                    break;
                }
                thread::yield_now();
            }
        })
    }
}

/// One life of a process, from its start to the phase `Closed`.
async fn live() {
    let (process, [storage, index, beats]) = Process::start();
    let threads = [
        reports_storage(&process, storage),
        reports_index(&process, index),
        process.thread(move |_| beats.heartbeat()),
        changes_members(&process, "a"),
        changes_members(&process, "b"),
        reconfigures(&process),
        pauses(&process),
        reads(&process),
        reads(&process),
    ];
    let mut tasks: Vec<_> = (0..3).map(|_| subscribes(&process)).collect();
    tasks.extend((0..2).map(|_| waits(&process)));
    tasks.extend((0..8).map(|number| sends_requests(&process, number)));
    tokio::time::sleep(LIFE).await;

    process.ends.store(true, Ordering::Relaxed);
    let readiness = &process.readiness;
    thread::scope(|scope| {
        scope.spawn(|| readiness.drain());
        scope.spawn(|| readiness.drain());
    });
    assert!(readiness.snapshot().phase() >= Phase::Draining);
    for thread in threads {
        let joins = tokio::task::spawn_blocking(|| thread.join());
        timeout(SOON, joins)
            .await
            .expect("a thread hangs")
            .unwrap()
            .unwrap();
    }
    for phase in [Phase::Closing, Phase::Closed] {
        readiness.advance(phase);
        assert_eq!(readiness.snapshot().phase(), phase);
    }
    let ended = timeout(SOON, join_all(tasks)).await;
    for task in ended.expect("a task waits for a change that it was not woken for") {
        task.unwrap();
    }
    assert_eq!(readiness.in_flight(), Some(0));
    for &reason in Reason::ALL {
        assert_eq!(process.layer.counts().waiting(reason), 0, "{reason:?}");
    }
    let history = readiness.history();
    assert!(history.is_sorted_by_key(Transition::version));
}

/// Reports `storage`, with the number of the report as its reason. A report counts from
/// the return of its setter, for this thread's own reads at once.
fn reports_storage(process: &Arc<Process>, storage: Reporter) -> thread::JoinHandle<()> {
    let gate: DirectGate = process.layer.direct();
    let mut number = 0;
    process.thread(move |process| {
        number += 1;
        let reason = number.to_string();
        match fastrand::u8(..4) {
            0 => storage.failing(reason),
            1 => storage.degraded(reason),
            2 => storage.starting(reason),
            _ => storage.ready(),
        }
        let snapshot = process.readiness.snapshot();
        process.newest.reported(&snapshot, number);
        let view = snapshot.subsystem("storage").unwrap();
        if let Some(reason) = view.reason() {
            assert_eq!(reason, number.to_string());
        }
        match gate.try_admit() {
            Ok(admitted) => {
                assert!(view.state().is_up(), "admitted while {:?}", view.state());
                admitted.succeeded();
            }
            Err(refusal) => assert!(refusal.version() >= snapshot.version()),
        }
    })
}

fn reports_index(process: &Arc<Process>, index: Reporter) -> thread::JoinHandle<()> {
    process.thread(move |process| {
        let is_up = fastrand::bool();
        if is_up {
            index.ready();
        } else {
            index.failing("down");
        }
        let snapshot = process.readiness.snapshot();
        assert_eq!(snapshot.subsystem("index").unwrap().state().is_up(), is_up);
    })
}

/// Adds, reports, claims again and retires members of the group.
fn changes_members(process: &Arc<Process>, prefix: &'static str) -> thread::JoinHandle<()> {
    let group = process.readiness.group("upstream").unwrap();
    let mut number = 0;
    process.thread(move |_| {
        number += 1;
        let name = format!("{prefix}{number}");
        let member = group.add(&name).unwrap();
        member.ready();
        member.failing("down");
        drop(member);
        let member = group.reporter(&name).unwrap();
        member.ready();
        if number % 4 > 0 {
            member.retire();
        }
    })
}

fn reconfigures(process: &Arc<Process>) -> thread::JoinHandle<()> {
    process.thread(|process| {
        let readiness = &process.readiness;
        let role = fastrand::choice([Role::Required, Role::Optional]).unwrap();
        let changed = readiness.reconfigure(|plan| {
            plan.role("index", role)
                .add(Subsystem::new("extra").optional());
        });
        changed.unwrap();
        let snapshot = readiness.snapshot();
        assert_eq!(snapshot.subsystem("index").unwrap().role(), role);
        readiness.reporter("extra").unwrap().leave_ready();
        let changed = readiness.reconfigure(|plan| {
            plan.remove("extra");
        });
        changed.unwrap();
        assert!(readiness.snapshot().subsystem("extra").is_none());
    })
}

fn pauses(process: &Arc<Process>) -> thread::JoinHandle<()> {
    process.thread(|process| {
        let pause = process.readiness.pause("maintenance");
        assert!(process.readiness.snapshot().paused().is_some());
        drop(pause);
        assert!(process.readiness.snapshot().paused().is_none());
    })
}

fn reads(process: &Arc<Process>) -> thread::JoinHandle<()> {
    let mut version = 0;
    process.thread(move |process| {
        let newest = process.newest.get();
        let snapshot = process.readiness.snapshot();
        newest.check(&snapshot);
        assert!(snapshot.version() >= version);
        version = snapshot.version();
        if version % 64 == 0 {
            let history = process.readiness.history();
            assert!(history.is_sorted_by_key(Transition::version));
        }
    })
}

/// Waits for each change, until the phase is `Closed`.
fn subscribes(process: &Arc<Process>) -> JoinHandle<()> {
    let process = Arc::clone(process);
    tokio::spawn(async move {
        let mut subscription = process.readiness.subscribe();
        let mut version = 0;
        loop {
            let newest = process.newest.get();
            let snapshot = subscription.changed().await.unwrap();
            newest.check(&snapshot);
            assert!(snapshot.version() > version);
            version = snapshot.version();
            if snapshot.phase() == Phase::Closed {
                break;
            }
        }
    })
}

/// Waits until the process is ready, again and again, and for its drain.
fn waits(process: &Arc<Process>) -> JoinHandle<()> {
    let readiness = process.readiness.clone();
    let draining = readiness.draining();
    tokio::spawn(async move {
        while readiness.wait_ready().await.is_ok() {
            yield_now().await;
        }
        draining.await;
        assert!(!readiness.verdict().is_ready());
    })
}

/// Sends requests through the layer to a service with room for two, and gives up some of
/// them, until the phase is `Closed`.
fn sends_requests(process: &Arc<Process>, number: u32) -> JoinHandle<()> {
    let answers = service_fn(|_: Request<Empty<Bytes>>| async {
        yield_now().await;
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let inner = ServiceBuilder::new().concurrency_limit(2).service(answers);
    let mut service = process.layer.layer(inner);
    let process = Arc::clone(process);
    tokio::spawn(async move {
        loop {
            let mut request = Request::new(Empty::new());
            let is_probe = number == 0;
            if is_probe {
                *request.uri_mut() = "/readyz".parse().unwrap();
            }
            let answer = service.call(request);
            let gives_up = fastrand::u8(..3) == 0;
            let most = if gives_up {
                Duration::from_millis(1)
            } else {
                SOON
            };
            let Ok(response) = timeout(most, answer).await else {
                assert!(gives_up, "a request hangs");
                continue;
            };
            let (head, body) = response.unwrap().into_parts();
            body.collect().await.unwrap();
            let refusal = head.extensions.get::<Refusal>();
            let is_admitted = head.status == StatusCode::OK;
            assert_eq!(refusal.is_none(), is_admitted || is_probe);
            if refusal.is_some_and(|refusal| refusal.reason() == Reason::Closed) {
                break;
            }
            if is_probe && process.readiness.snapshot().phase() == Phase::Closed {
                break;
            }
        }
    })
}
