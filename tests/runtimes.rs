//! The background tasks of a registry survive their first runtime: a runtime that ends,
//! a runtime that no thread drives, and a runtime whose worker is blocked.
//!
//! Times are real here, because the timer thread uses the real clock. Each wait ends
//! when its condition holds; the time that it takes does not matter.

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use std::{
    cell::Cell,
    convert::Infallible,
    future::{pending, ready},
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Readiness, ReadinessLayer, Reporter, State, Subsystem, SubsystemView, Transition,
    TransitionKind,
    check::{Check, Outcome},
    server::AdminServer,
    watch::RuntimeWatch,
};

/// The first runtime that the registry meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It is built on a runtime that ends.
    BuiltOnShort,
    /// It is built on none, and a runtime that ends makes a layer.
    MetByShort,
    /// It is built on a runtime that no thread drives.
    NotDriven,
    /// It is built on a runtime whose only worker is blocked afterwards.
    Blocked,
}

const FIRST: [First; 4] = [
    First::BuiltOnShort,
    First::MetByShort,
    First::NotDriven,
    First::Blocked,
];

/// The call that comes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Report,
    Repeat,
    Request,
    Poll,
    Snapshot,
    AdminProbe,
    Nothing,
}

const CALLS: [Call; 7] = [
    Call::Report,
    Call::Repeat,
    Call::Request,
    Call::Poll,
    Call::Snapshot,
    Call::AdminProbe,
    Call::Nothing,
];

/// Keeps the first runtime as it is.
struct Kept {
    runtime: Option<Runtime>,
    go_on: Option<mpsc::Sender<()>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.go_on.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn one_worker() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A registry that has met its first runtime, before that comes to its end.
fn meet(first: First, build: impl FnOnce() -> Readiness) -> (Readiness, Runtime) {
    let runtime = match first {
        First::Blocked => one_worker(),
        _ => current_thread(),
    };
    let readiness = match first {
        First::BuiltOnShort | First::Blocked => runtime.block_on(async { build() }),
        First::MetByShort => {
            let readiness = build();
            runtime.block_on(async { drop(ReadinessLayer::new(&readiness)) });
            readiness
        }
        First::NotDriven => {
            let _entered = runtime.enter();
            build()
        }
    };
    (readiness, runtime)
}

fn end(first: First, runtime: Runtime) -> Kept {
    let mut go_on = None;
    let runtime = match first {
        First::BuiltOnShort | First::MetByShort => None,
        First::NotDriven => Some(runtime),
        First::Blocked => {
            let (sender, blocked) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            runtime.spawn(async move {
                begun.send(()).unwrap();
                // A blocking call in a task.
                let _ = blocked.recv();
            });
            has_begun.recv().unwrap();
            go_on = Some(sender);
            Some(runtime)
        }
    };
    Kept { runtime, go_on }
}

/// A registry with a third subsystem, and every object that a [`Call`] uses.
struct Caller {
    readiness: Readiness,
    cache: Reporter,
    layer: ReadinessLayer,
    admin: Option<(AdminServer, TcpStream)>,
    calls: AtomicUsize,
}

impl Caller {
    fn new(readiness: &Readiness, call: Call) -> Self {
        let admin = (call == Call::AdminProbe).then(|| {
            let admin = readiness.serve_on_thread("127.0.0.1:0").unwrap();
            let address = admin.local_addr().socket_addr().unwrap();
            let connection = TcpStream::connect(address).unwrap();
            (admin, connection)
        });
        let cache = readiness.reporter("cache").unwrap();
        cache.ready();
        Self {
            readiness: readiness.clone(),
            cache,
            layer: ReadinessLayer::new(readiness),
            admin,
            calls: AtomicUsize::new(0),
        }
    }

    fn call(&mut self, call: Call) {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match call {
            Call::Report => self.cache.degraded(calls.to_string()),
            Call::Repeat => self.cache.ready(),
            Call::Request => {
                let service = service_fn(|_: Request<String>| async {
                    Ok::<_, Infallible>(Response::new(String::new()))
                });
                let request = Request::new(String::new());
                let response = self.layer.layer(service).oneshot(request);
                let response = response.now_or_never().unwrap().unwrap();
                assert_eq!(response.status(), StatusCode::OK);
            }
            Call::Poll => {
                let mut subscription = self.readiness.subscribe();
                let _ = subscription.changed().now_or_never();
            }
            Call::Snapshot => drop(self.readiness.snapshot()),
            Call::AdminProbe => {
                let (_, connection) = self.admin.as_mut().unwrap();
                connection
                    .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    .unwrap();
                let read = connection.read(&mut [0; 4096]).unwrap();
                assert_ne!(read, 0);
            }
            Call::Nothing => {}
        }
    }
}

/// Reads the published view of a subsystem. This thread has no runtime, so reading
/// starts no task, and it publishes no overdue change.
fn published<R>(readiness: &Readiness, name: &str, look: impl FnOnce(&SubsystemView) -> R) -> R {
    let mut subscription = readiness.subscribe();
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    look(snapshot.subsystem(name).unwrap())
}

fn state(readiness: &Readiness, name: &str) -> State {
    published(readiness, name, SubsystemView::state)
}

#[track_caller]
fn becomes(case: &dyn std::fmt::Debug, mut what: impl FnMut() -> bool) {
    let found = (0..30_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        what()
    });
    assert!(found, "nothing happened: {case:?}");
}

/// How often the subsystem `policy` was ready and then fell silent. A busy machine may not
/// poll while it is ready.
fn times_of_silence(readiness: &Readiness) -> usize {
    let history = readiness.history();
    let fell_silent = |it: &&Transition| {
        matches!(
            it.kind(),
            TransitionKind::Subsystem { name, from: Some(State::Ready), to: Some(State::Stale) }
                if &**name == "policy"
        )
    };
    history.iter().filter(fell_silent).count()
}

fn optional(name: &str) -> Subsystem {
    Subsystem::new(name).optional()
}

#[test]
fn silence_is_found_whatever_becomes_of_the_first_runtime() {
    const TTL: Duration = Duration::from_millis(200);
    let each = |first, call| {
        let case = (first, call);
        let build = || {
            Readiness::builder()
                .allow_empty()
                .subsystem(optional("cache"))
                .subsystem(optional("policy").ttl(TTL))
                .build()
                .unwrap()
        };
        let (readiness, runtime) = meet(first, build);
        let policy = readiness.reporter("policy").unwrap();
        policy.ready();
        let _kept = end(first, runtime);
        let mut caller = Caller::new(&readiness, call);
        becomes(&case, || {
            caller.call(call);
            state(&readiness, "policy") == State::Stale
        });
        // Again, after it has moved to another runtime.
        let living = one_worker();
        living.block_on(async { caller.call(call) });
        policy.heartbeat();
        becomes(&case, || times_of_silence(&readiness) == 2);
    };
    thread::scope(|scope| {
        for first in FIRST {
            for call in CALLS {
                scope.spawn(move || each(first, call));
            }
        }
    });
}

#[test]
fn a_check_is_red_without_its_runtime_and_runs_again_on_the_next_that_calls() {
    let each = |first, call| {
        let case = (first, call);
        let asked = Arc::new(AtomicUsize::new(0));
        let build = || {
            let asked = Arc::clone(&asked);
            let check = Check::every(Duration::from_millis(50)).failures(1);
            let database = optional("database").check(check, move || {
                asked.fetch_add(1, Ordering::Relaxed);
                ready(Outcome::ready())
            });
            Readiness::builder()
                .allow_empty()
                .subsystem(optional("cache"))
                .subsystem(database)
                .build()
                .unwrap()
        };
        let (readiness, runtime) = meet(first, build);
        if first == First::Blocked {
            becomes(&case, || state(&readiness, "database").is_up());
        } else if first != First::NotDriven {
            runtime.block_on(async {
                while asked.load(Ordering::Relaxed) == 0 {
                    tokio::task::yield_now().await;
                }
            });
        }
        let _kept = end(first, runtime);
        match first {
            First::BuiltOnShort | First::MetByShort => {
                let reason = published(&readiness, "database", |view| {
                    assert_eq!(view.state(), State::Failing, "{case:?}");
                    view.reason().unwrap().to_owned()
                });
                assert_eq!(reason, "its runtime has ended");
            }
            First::NotDriven => assert_eq!(state(&readiness, "database"), State::Starting),
            First::Blocked => {
                becomes(&case, || state(&readiness, "database") == State::Stale);
            }
        }
        let mut caller = Caller::new(&readiness, call);
        let living = one_worker();
        if (first, call) == (First::Blocked, Call::AdminProbe) {
            let so_far = asked.load(Ordering::Relaxed);
            for _ in 0..100 {
                caller.call(call);
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(asked.load(Ordering::Relaxed), so_far);
            assert_eq!(state(&readiness, "database"), State::Stale);
        }
        let call = match call {
            Call::Nothing => Call::Snapshot,
            // The answering thread takes no task from a runtime.
            Call::AdminProbe if first == First::Blocked || first == First::NotDriven => {
                Call::Snapshot
            }
            call => call,
        };
        // A runtime that may still run the check keeps it for a while.
        becomes(&case, || {
            living.block_on(async {
                caller.call(call);
                state(&readiness, "database") == State::Ready
            })
        });
        let so_far = asked.load(Ordering::Relaxed);
        becomes(&case, || asked.load(Ordering::Relaxed) > so_far + 1);
    };
    thread::scope(|scope| {
        for first in FIRST {
            for call in CALLS {
                scope.spawn(move || each(first, call));
            }
        }
    });
}

#[test]
fn a_check_that_moves_to_another_runtime_leaves_its_turn_behind() {
    let asked = Arc::new(AtomicUsize::new(0));
    let database = {
        let asked = Arc::clone(&asked);
        let check = Check::every(Duration::from_millis(50)).timeout(Duration::from_millis(50));
        optional("database").check(check, move || {
            // The second run waits for a runtime that no thread drives by then.
            let waits = asked.fetch_add(1, Ordering::Relaxed) == 1;
            async move {
                if waits {
                    pending::<()>().await;
                }
                Outcome::ready()
            }
        })
    };
    let builder = Readiness::builder().allow_empty().checks_at_once(1);
    let not_driven = current_thread();
    let readiness = not_driven.block_on(async {
        let readiness = builder.subsystem(database).build().unwrap();
        while asked.load(Ordering::Relaxed) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        readiness
    });
    becomes(&"silence", || state(&readiness, "database") == State::Stale);
    let living = one_worker();
    becomes(&"ready", || {
        living.block_on(async { state(&readiness, "database") == State::Ready })
    });
    becomes(&"asked again", || asked.load(Ordering::Relaxed) > 4);
}

#[test]
fn a_check_that_is_removed_in_the_middle_of_a_run_leaves_its_turn_behind() {
    let builder = Readiness::builder().allow_empty().checks_at_once(1);
    let readiness = builder.build().unwrap();
    let has_begun = Arc::new(AtomicBool::new(false));
    let removed = {
        let has_begun = Arc::clone(&has_begun);
        optional("removed").check(Check::every(Duration::from_secs(5)), move || {
            has_begun.store(true, Ordering::Relaxed);
            pending::<Outcome>()
        })
    };
    let not_driven = current_thread();
    let removed = not_driven.block_on(async {
        let reporter = readiness.add(removed).unwrap();
        while !has_begun.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
        }
        reporter
    });
    removed.retire();
    let next = optional("next").check(Check::every(Duration::from_secs(5)), || {
        ready(Outcome::ready())
    });
    let living = one_worker();
    let _reporter = living.block_on(async { readiness.add(next).unwrap() });
    becomes(&"ready", || state(&readiness, "next") == State::Ready);
}

/// A registry with a check whose run nobody drives, and which has this value.
fn with_a_check_that_keeps<T: Send + Sync + 'static>(kept: T) -> Readiness {
    let kept = Mutex::new(Some(kept));
    let check = optional("kept").check(Check::every(Duration::from_secs(5)), move || {
        let kept = kept.lock().unwrap().take();
        async move {
            pending::<()>().await;
            drop(kept);
            Outcome::ready()
        }
    });
    let not_driven = current_thread();
    let readiness = not_driven.block_on(async {
        let readiness = Readiness::builder()
            .allow_empty()
            .subsystem(check)
            .build()
            .unwrap();
        tokio::task::yield_now().await;
        readiness
    });
    // Until the end of the process.
    std::mem::forget(not_driven);
    readiness
}

#[test]
fn a_destructor_of_a_check_may_wait_for_a_task_that_waits_for_the_end() {
    struct Waits(Mutex<mpsc::Receiver<()>>, mpsc::Sender<bool>);

    impl Drop for Waits {
        fn drop(&mut self) {
            let ended = self.0.lock().unwrap();
            let is_told = ended.recv_timeout(Duration::from_secs(10)).is_ok();
            self.1.send(is_told).unwrap();
        }
    }

    let ((tell, ended), (sender, outcome)) = (mpsc::channel(), mpsc::channel());
    let readiness = with_a_check_that_keeps(Waits(Mutex::new(ended), sender));
    let mut subscription = readiness.subscribe();
    let waits = thread::spawn(move || {
        while current_thread().block_on(subscription.changed()).is_ok() {}
        tell.send(()).unwrap();
    });
    drop(readiness);
    assert!(outcome.recv().unwrap());
    waits.join().unwrap();
}

#[test]
fn a_thread_that_ends_drops_the_last_handle() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as part of the test");
        }
    }

    thread_local! {
        static EARLY: Cell<Option<Readiness>> = const { Cell::new(None) };
        static LATE: Cell<Option<Readiness>> = const { Cell::new(None) };
    }

    // One of the two is dropped after the thread's context of tokio.
    let ends = thread::spawn(|| {
        EARLY.set(None);
        let early = with_a_check_that_keeps(Panics);
        EARLY.set(Some(early));
        LATE.set(Some(with_a_check_that_keeps(Panics)));
    });
    ends.join().unwrap();
}

/// Without a result the subsystem is starting, and never stale.
#[test]
fn a_check_whose_first_run_is_left_in_the_middle_moves_to_the_next_runtime() {
    let asked = Arc::new(AtomicUsize::new(0));
    let database = {
        let asked = Arc::clone(&asked);
        let check = Check::every(Duration::from_millis(50)).timeout(Duration::from_millis(50));
        optional("database").check(check, move || {
            // The first two runs wait for runtimes that no thread drives by then.
            let waits = asked.fetch_add(1, Ordering::Relaxed) < 2;
            async move {
                if waits {
                    pending::<()>().await;
                }
                Outcome::ready()
            }
        })
    };
    let builder = Readiness::builder().allow_empty();
    let readiness = builder.subsystem(database).build().unwrap();
    let not_driven = [current_thread(), current_thread()];
    for (begun, runtime) in (1..).zip(&not_driven) {
        becomes(&begun, || {
            runtime.block_on(async {
                drop(readiness.snapshot());
                tokio::task::yield_now().await;
            });
            asked.load(Ordering::Relaxed) == begun
        });
        assert_eq!(state(&readiness, "database"), State::Starting);
    }
    let living = one_worker();
    becomes(&"ready", || {
        living.block_on(async { state(&readiness, "database") == State::Ready })
    });
}

/// A process that is built without a runtime, and probed before it has one.
#[test]
fn a_check_that_a_probe_has_started_moves_to_the_first_runtime_of_the_application() {
    const OWN: Option<&str> = Some("readiness");
    let (begun, runs) = mpsc::channel();
    let (go_on, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let check = Check::every(Duration::from_millis(50)).failures(1);
    let database = optional("database").check(check, move || {
        let thread = thread::current().name().map(str::to_owned);
        begun.send(thread.clone()).unwrap();
        if thread.as_deref() == OWN {
            let _ = blocked.lock().unwrap().recv();
            return ready(Outcome::failing("outdated"));
        }
        ready(Outcome::ready())
    });
    let builder = Readiness::builder().allow_empty();
    let builder = builder.subsystem(optional("cache")).subsystem(database);
    let readiness = builder.build().unwrap();
    let next_run = || runs.recv_timeout(Duration::from_secs(30)).unwrap();
    let mut caller = Caller::new(&readiness, Call::AdminProbe);
    let (_, connection) = caller.admin.as_mut().unwrap();
    let probe = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    connection.write_all(probe).unwrap();
    assert_eq!(next_run().as_deref(), OWN);

    // A call takes the check over, although it is blocked.
    let living = one_worker();
    living.block_on(async { drop(readiness.snapshot()) });
    for _ in 0..3 {
        assert_ne!(next_run().as_deref(), OWN);
    }
    let since = published(&readiness, "database", SubsystemView::since);
    assert_eq!(state(&readiness, "database"), State::Ready);
    drop(go_on);
    assert_ne!(connection.read(&mut [0; 4096]).unwrap(), 0);
    for _ in 0..3 {
        caller.call(Call::AdminProbe);
        assert_ne!(next_run().as_deref(), OWN);
    }
    let now = published(&readiness, "database", SubsystemView::since);
    assert_eq!(now, since, "an outdated result counts for nothing");
}

#[test]
fn a_registry_is_dropped_although_its_timer_and_its_check_wait() {
    let asked = Arc::new(());
    let runtime = current_thread();
    let readiness = {
        let _entered = runtime.enter();
        let asked = Arc::clone(&asked);
        let check = Check::every(Duration::from_millis(50));
        let database = optional("database").check(check, move || {
            let _ = &asked;
            ready(Outcome::ready())
        });
        let policy = optional("policy").ttl(Duration::from_millis(50));
        let builder = Readiness::builder().allow_empty();
        builder.subsystem(database).subsystem(policy).build()
    };
    let readiness = readiness.unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    becomes(&"silence", || state(&readiness, "policy") == State::Stale);
    let mut subscription = readiness.subscribe();
    drop((readiness, policy));
    let ended = (0..10).any(|_| matches!(subscription.changed().now_or_never(), Some(Err(_))));
    assert!(ended);
    drop(subscription);
    drop(runtime);
    becomes(&"the end", || Arc::strong_count(&asked) == 1);
}

/// Another thread may make calls on another runtime at any moment.
#[test]
fn a_watch_is_of_the_runtime_of_its_caller() {
    let (watched, other) = (current_thread(), one_worker());
    let build = || Readiness::builder().allow_empty().build().unwrap();
    let all: Vec<_> = (0..200)
        .map(|_| {
            let (readiness, stop) = (build(), Arc::new(AtomicBool::new(false)));
            let (begun, begins) = mpsc::channel();
            let reader = other.spawn({
                let (readiness, stop) = (readiness.clone(), Arc::clone(&stop));
                async move {
                    begun.send(()).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        readiness.verdict();
                    }
                }
            });
            begins.recv().unwrap();
            let watch = RuntimeWatch::default().stalled_after(Duration::from_millis(200));
            watched.block_on(async { readiness.watch_runtime(watch).unwrap() });
            stop.store(true, Ordering::Relaxed);
            other.block_on(reader).unwrap();
            readiness
        })
        .collect();
    // No thread drives the watched runtime from now on.
    for (number, readiness) in all.iter().enumerate() {
        becomes(&number, || state(readiness, "runtime") == State::Stale);
    }
}
