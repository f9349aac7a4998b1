use super::*;
use crate::threads;
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
};
use tokio::{runtime::Runtime, task::yield_now};

const CHECK: TaskId = TaskId::Check(1);

fn no_jobs() -> Arc<BackgroundTasks> {
    let registry = Weak::<crate::registry::Registry>::new();
    Arc::new(BackgroundTasks::new(registry))
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().unwrap()
}

/// Adds a job that waits for ever. Its futures, and only they, hold the returned value.
fn add_waiting(jobs: &BackgroundTasks, id: TaskId) -> Arc<()> {
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    jobs.add(id, || {
        Arc::new(move || {
            let held = weak.upgrade();
            Some(Box::pin(async move {
                pending::<()>().await;
                drop(held);
            }))
        })
    });
    token
}

fn futures(token: &Arc<()>) -> usize {
    Arc::strong_count(token) - 1
}

#[test]
fn a_runtime_that_has_ended_is_not_tried_twice() {
    let jobs = no_jobs();
    let ended = runtime();
    ended.block_on(async { jobs.start() });
    drop(ended);
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    jobs.add(TaskId::TtlTimer, || {
        Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Some(Box::pin(pending()))
        })
    });
    jobs.start();
    jobs.start();
    assert_eq!(tried.load(Ordering::Relaxed), 1);
}

#[test]
fn a_runtime_on_which_a_task_ends_at_once_is_used_again() {
    let jobs = no_jobs();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let living = builder.worker_threads(1).build().unwrap();
    // The task ends before the thread that has spawned it takes the lock of the table again.
    let step = Arc::new(std::sync::Barrier::new(2));
    jobs.add(TaskId::TtlTimer, || {
        let step = Arc::clone(&step);
        Arc::new(move || {
            step.wait();
            step.wait();
            let step = Arc::clone(&step);
            Some(Box::pin(async move {
                step.wait();
            }))
        })
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            step.wait();
            let _table = jobs.table.lock();
            step.wait();
            step.wait();
            while living.metrics().num_alive_tasks() > 0 {
                std::thread::yield_now();
            }
        });
        let _entered = living.enter();
        jobs.start();
    });
    jobs.take(TaskId::TtlTimer).unwrap().end();
    let token = add_waiting(&jobs, CHECK);
    jobs.start();
    assert_eq!(futures(&token), 1);
}

#[test]
fn a_call_takes_no_lock_while_there_is_no_runtime() {
    /// Whether another thread, which is on no runtime, calls while this one holds the lock.
    fn is_free(jobs: &Arc<BackgroundTasks>) -> bool {
        let table = jobs.table.lock();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let jobs = Arc::clone(jobs);
            move || {
                jobs.start();
                sender.send(()).unwrap();
            }
        });
        let called = receiver.recv_timeout(Duration::from_secs(10));
        drop(table);
        thread.join().unwrap();
        called.is_ok()
    }

    let jobs = no_jobs();
    let token = add_waiting(&jobs, CHECK);
    assert!(is_free(&jobs), "no runtime has called");
    let ended = runtime();
    ended.block_on(async { jobs.start() });
    assert_eq!(futures(&token), 1);
    drop(ended);
    // This call finds that the runtime has ended.
    jobs.start();
    assert!(is_free(&jobs), "its runtime has ended");
    let next = runtime();
    next.block_on(async { jobs.start() });
    assert_eq!(futures(&token), 1);
    jobs.end();
    jobs.set_idle();
    assert!(is_free(&jobs), "the registry is closed");
}

#[test]
fn a_suspect_job_moves_to_a_runtime_that_calls_and_its_old_task_ends() {
    let jobs = no_jobs();
    let token = add_waiting(&jobs, CHECK);
    let [stuck, living] = [runtime(), runtime()];
    let call_on = |runtime: &Runtime| {
        runtime.block_on(async {
            jobs.start();
            yield_now().await;
        });
        futures(&token)
    };
    assert_eq!(call_on(&stuck), 1);
    assert_eq!(call_on(&living), 1, "the job is well");
    jobs.suspect(CHECK);
    jobs.start();
    assert_eq!(futures(&token), 1, "this thread has no runtime");
    let tasks = || [&stuck, &living].map(|runtime| runtime.metrics().num_alive_tasks());
    assert_eq!(tasks(), [1, 0]);
    living.block_on(async { jobs.start() });
    assert_eq!(
        futures(&token),
        2,
        "the thread of this call drops no future"
    );
    assert_eq!(call_on(&living), 1, "the old task has lost its future");
    assert_eq!(tasks(), [1, 1]);
    assert_eq!(call_on(&stuck), 1);
    assert_eq!(tasks(), [0, 1]);
}

/// Calls [`BackgroundTasks::start`] on `runtime`, which a thread of the crate drives.
fn call_on_own(jobs: &Arc<BackgroundTasks>, runtime: Runtime) -> Runtime {
    let jobs = Arc::clone(jobs);
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = threads::spawn("readiness-test", move || {
        runtime.block_on(async {
            jobs.start();
            yield_now().await;
        });
        sender.send(runtime).unwrap();
    });
    thread.unwrap().join().unwrap();
    receiver.recv().unwrap()
}

#[test]
fn a_stand_in_moves_to_the_first_runtime_of_the_application_and_stays_there() {
    let jobs = no_jobs();
    let token = add_waiting(&jobs, TaskId::TtlTimer);
    let own = call_on_own(&jobs, runtime());
    assert_eq!(futures(&token), 1);
    assert!(jobs.wait_for_runtime());
    jobs.start();
    assert_eq!(futures(&token), 1, "this thread has no runtime");
    // It starts where the other does.
    let added = add_waiting(&jobs, CHECK);
    jobs.start();
    assert_eq!(futures(&added), 1);

    let application = runtime();
    application.block_on(async {
        jobs.start();
        yield_now().await;
    });
    assert!(!jobs.wait_for_runtime());
    // As the old tasks do when they end.
    jobs.set_idle();
    drop(call_on_own(&jobs, own));
    assert_eq!((futures(&token), futures(&added)), (1, 1));
    // On the runtime of the application, which was called last by this thread.
    let late = add_waiting(&jobs, TaskId::Watch("late"));
    jobs.start();
    assert_eq!(application.metrics().num_alive_tasks(), 3);
    drop(application);
    assert_eq!([&token, &added, &late].map(futures), [0, 0, 0]);
}

#[test]
fn a_stand_in_that_is_replaced_is_not_polled_again() {
    for in_a_poll in [false, true] {
        let jobs = no_jobs();
        let run = Run::begin(true);
        let polls = Arc::new(AtomicUsize::new(0));
        let future = {
            let (run, polls) = (Arc::clone(&run), Arc::clone(&polls));
            std::future::poll_fn(move |_| {
                polls.fetch_add(1, Ordering::Relaxed);
                assert!(!in_a_poll || run.replace());
                Poll::Pending
            })
        };
        let guard = Guard::new(jobs, CHECK, &run);
        let mut task = Box::pin(Task::new(Box::pin(future), guard));
        let mut poll = || task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll().is_ready(), in_a_poll);
        assert!(in_a_poll || run.replace());
        assert_eq!(poll(), Poll::Ready(()));
        assert_eq!(polls.load(Ordering::Relaxed), 1);
    }
}

/// Lets a run end in some way, and returns why its job was lost.
fn lost_by(end: impl FnOnce(Guard)) -> Option<&'static str> {
    #[derive(Default)]
    struct LostReason(Mutex<Option<&'static str>>);

    impl Jobs for LostReason {
        fn lose(&self, _: TaskId, run: &Arc<Run>, why: &'static str) {
            assert!(!run.has_ended(), "the next run could begin before this");
            *self.0.lock() = Some(why);
        }

        fn set_idle(&self) {}
    }

    let (jobs, run) = (Arc::<LostReason>::default(), Run::begin(false));
    let guard = Guard::new(Arc::clone(&jobs) as _, CHECK, &run);
    let _ = catch_unwind(AssertUnwindSafe(|| end(guard)));
    assert!(run.has_ended());
    jobs.0.lock().take()
}

#[test]
fn a_job_is_lost_if_its_task_panics_or_is_dropped_before_its_end() {
    let polled = |future: run::Running| {
        lost_by(|guard| {
            let mut task = Box::pin(Task::new(future, guard));
            let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        })
    };
    assert_eq!(lost_by(Guard::done), None);
    assert_eq!(polled(Box::pin(async {})), None);
    assert_eq!(polled(Box::pin(pending())), Some("its runtime has ended"));
    let panics = async { panic!("as part of the test") };
    assert_eq!(polled(Box::pin(panics)), Some("its task panicked"));
}

#[test]
fn a_job_whose_task_panicked_starts_again_a_second_later() {
    let (jobs, runtime) = (no_jobs(), runtime());
    let starts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&starts);
    jobs.add(CHECK, || {
        Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Some(Box::pin(async { panic!("as part of the test") }))
        })
    });
    let call = || {
        runtime.block_on(async {
            jobs.start();
            yield_now().await;
        });
        starts.load(Ordering::Relaxed)
    };
    assert_eq!((call(), call()), (1, 1));
    {
        let mut table = jobs.table.lock();
        let run = table.jobs.get_mut(&CHECK).and_then(|job| job.run.as_mut());
        let run = run.and_then(Arc::get_mut).unwrap();
        run.began -= Duration::from_secs(1);
    }
    assert_eq!(call(), 2);
}

#[test]
fn a_destructor_that_panics_does_not_end_the_run_that_follows() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as part of the test");
        }
    }

    let held = Panics;
    let before = Box::pin(async move {
        pending::<()>().await;
        drop(held);
    });
    let mut both = run::after(before, Box::pin(async {}));
    let poll = both.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Ready(()));
}

#[test]
fn a_check_is_suspect_if_its_runtime_does_not_poll_it_in_time() {
    let jobs = no_jobs();
    let _token = add_waiting(&jobs, CHECK);
    let not_driven = runtime();
    let _entered = not_driven.enter();
    jobs.start();
    jobs.unpolled.store(true, Ordering::Relaxed);
    let began = jobs.table.lock().jobs[&CHECK].run.as_ref().unwrap().began;
    let due = began + FIRST_POLL_WITHIN;
    for (now, next, is_suspect) in [
        (began, Some(due), false),
        (due - Duration::from_nanos(1), Some(due), false),
        (due, None, true),
        (due, None, true),
    ] {
        assert_eq!(jobs.suspect_unpolled(now), next);
        assert_eq!(jobs.idle.load(Ordering::Relaxed), is_suspect);
    }
}

#[test]
fn a_job_that_is_removed_while_it_starts_does_not_run() {
    let jobs = no_jobs();
    let not_driven = runtime();
    let _entered = not_driven.enter();
    let token = Arc::new(());
    jobs.add(CHECK, || {
        let (jobs, token) = (Arc::downgrade(&jobs), Arc::downgrade(&token));
        Arc::new(move || {
            drop(jobs.upgrade()?.take(CHECK));
            let held = token.upgrade();
            Some(Box::pin(async move {
                pending::<()>().await;
                drop(held);
            }))
        })
    });
    jobs.start();
    assert_eq!(futures(&token), 0);
}

#[test]
fn a_job_that_ends_drops_its_future_within_the_runtime_that_no_thread_drives() {
    struct SpawnsAndPanics(Arc<BackgroundTasks>);

    impl Drop for SpawnsAndPanics {
        fn drop(&mut self) {
            tokio::spawn(pending::<()>());
            // It takes the lock of the table.
            self.0.suspect(TaskId::TtlTimer);
            panic!("as part of the test");
        }
    }

    for is_taken in [true, false] {
        let (jobs, not_driven) = (no_jobs(), runtime());
        let token = Arc::new(());
        jobs.add(CHECK, || {
            let (jobs, token) = (Arc::clone(&jobs), Arc::downgrade(&token));
            Arc::new(move || {
                let held = (SpawnsAndPanics(Arc::clone(&jobs)), token.upgrade());
                Some(Box::pin(async move {
                    pending::<()>().await;
                    drop(held);
                }))
            })
        });
        not_driven.block_on(async {
            jobs.start();
            yield_now().await;
        });
        assert_eq!(futures(&token), 1);
        if is_taken {
            jobs.take(CHECK).unwrap().end();
        } else {
            jobs.end();
        }
        assert_eq!(futures(&token), 0, "{is_taken}");
        // The aborted task, and the one of the destructor.
        assert_eq!(not_driven.metrics().num_alive_tasks(), 2);
    }
}

#[test]
fn a_job_that_is_replaced_while_it_starts_does_not_run() {
    let jobs = no_jobs();
    let token = Arc::new(());
    jobs.add(CHECK, || {
        let (jobs, token) = (Arc::downgrade(&jobs), Arc::downgrade(&token));
        Arc::new(move || {
            let jobs = jobs.upgrade()?;
            jobs.take(CHECK)?.end();
            add_waiting(&jobs, CHECK);
            jobs.start();
            let held = token.upgrade();
            Some(Box::pin(async move {
                pending::<()>().await;
                drop(held);
            }))
        })
    });
    let runtime = runtime();
    runtime.block_on(async {
        jobs.start();
        yield_now().await;
    });
    assert_eq!(futures(&token), 0);
    assert_eq!(runtime.metrics().num_alive_tasks(), 1);
}

#[test]
fn only_a_check_waits_for_a_runtime() {
    let jobs = no_jobs();
    assert!(!jobs.wait_for_runtime());
    add_waiting(&jobs, TaskId::TtlTimer);
    assert!(!jobs.wait_for_runtime());
    add_waiting(&jobs, CHECK);
    assert!(jobs.wait_for_runtime());
    let runtime = runtime();
    runtime.block_on(async { jobs.start() });
    assert!(!jobs.wait_for_runtime());
}

#[cfg(all(feature = "check", feature = "gate"))]
#[test]
fn requests_are_admitted_at_once_unless_a_check_waits_for_a_runtime() {
    let check = crate::registry::Check {
        thresholds: crate::state::Thresholds::FIRST,
        start: Arc::new(|_, _| Box::pin(pending())),
    };
    let hour = Duration::from_secs(3_600);
    let database = crate::Subsystem::new("database").optional();
    let database = database.with_check(hour, hour, Ok(check));
    let builder = crate::Readiness::builder().allow_empty();
    let readiness = builder.subsystem(database).build().unwrap();
    let jobs = readiness.registry().background();
    let flag = readiness
        .registry()
        .admit_flag(crate::state::ScopeId::Process);
    assert!(!flag.is_set(), "it is not started yet");
    let runtime = runtime();
    let _entered = runtime.enter();
    jobs.start();
    assert!(flag.is_set());
    let ids: Vec<_> = jobs.table.lock().jobs.keys().copied().collect();
    ids.into_iter()
        .filter(|id| id.is_check())
        .for_each(|id| jobs.suspect(id));
    assert!(!flag.is_set(), "its runtime may be stuck");
}

#[tokio::test]
async fn without_a_check_no_polls_are_expected() {
    let ttl = Duration::from_secs(3_600);
    let cache = crate::Subsystem::new("cache").ttl(ttl);
    let builder = crate::Readiness::builder().subsystem(cache);
    let readiness = builder.build().unwrap();
    let jobs = readiness.registry().background();
    assert_eq!(jobs.table.lock().jobs.len(), 1);
    assert!(!jobs.unpolled.load(Ordering::Relaxed));
}

#[cfg(feature = "check")]
#[tokio::test(start_paused = true)]
async fn on_a_paused_clock_no_check_is_late_by_the_real_one() {
    let check = crate::registry::Check {
        thresholds: crate::state::Thresholds::FIRST,
        start: Arc::new(|_, _| Box::pin(pending())),
    };
    let second = Duration::from_secs(1);
    let subsystem = crate::Subsystem::new("database").with_check(second, second, Ok(check));
    let readiness = crate::Readiness::builder()
        .subsystem(subsystem)
        .build()
        .unwrap();
    assert!(
        !readiness
            .registry()
            .background()
            .unpolled
            .load(Ordering::Relaxed)
    );
}

#[test]
fn a_job_of_a_runtime_is_started_on_no_other_one() {
    let (own, other) = (runtime(), runtime());
    let jobs = no_jobs();
    let started = Arc::new(AtomicUsize::new(0));
    let start: Start = {
        let (jobs, started, other) = (jobs.clone(), started.clone(), other.handle().clone());
        Arc::new(move || {
            // A call on another runtime comes as soon as there is a job.
            if started.fetch_add(1, Ordering::Relaxed) == 0 {
                let _other = other.enter();
                jobs.set_idle();
                jobs.start();
            }
            Some(Box::pin(pending()))
        })
    };
    jobs.add_on(own.handle().clone(), TaskId::TtlTimer, start);
    assert_eq!(started.load(Ordering::Relaxed), 1);
    let tasks = [&own, &other].map(|runtime| runtime.metrics().num_alive_tasks());
    assert_eq!(tasks, [1, 0]);
    jobs.end();
}
