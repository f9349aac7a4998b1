//! Signals, sent for real: a test binary of its own, whose tests take turns,
//! because a signal reaches the whole process.
#![cfg(all(unix, feature = "signal"))]

mod support;

use signal_hook::{
    consts::{SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1},
    low_level::raise,
};
use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
};
use support::{ready, starting, until};
use tokio::time::{Duration, advance, pause};
use tokio_test::{assert_pending, assert_ready, task};
use tower_readiness::{
    Phase, Readiness,
    drain::{Shutdown, ShutdownError, Signals},
};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const DELAY: Duration = Duration::from_secs(3_600);

/// Sends the signal, and waits for the shutdown to handle it.
async fn handles(shutdown: &mut task::Spawn<Shutdown>, signal: i32) {
    raise(signal).unwrap();
    until(|| shutdown.is_woken()).await;
}

/// Sends the signal, and waits until tokio has passed it on.
async fn ignores(shutdown: &mut task::Spawn<Shutdown>, signal: i32) {
    let kind = tokio::signal::unix::SignalKind::from_raw(signal);
    let mut witness = tokio::signal::unix::signal(kind).unwrap();
    raise(signal).unwrap();
    support::soon(witness.recv()).await;
    assert_pending!(shutdown.poll());
}

fn phase(readiness: &Readiness) -> Phase {
    readiness.verdict().phase()
}

#[test]
fn sigterm_drains_and_a_repeated_one_is_ignored() {
    let _turn = turn();
    run(async {
        let (readiness, _storage) = ready();
        let mut shutdown = task::spawn(readiness.drain_on_signal(DELAY).unwrap());
        assert_pending!(shutdown.poll());
        handles(&mut shutdown, SIGTERM).await;
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Draining);

        ignores(&mut shutdown, SIGTERM).await;
        assert_eq!(phase(&readiness), Phase::Draining);

        pause();
        advance(DELAY - Duration::from_secs(60)).await;
        assert_pending!(shutdown.poll());
        advance(Duration::from_secs(61)).await;
        assert_ready!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Closing);
    });
}

#[test]
fn a_second_sigint_ends_the_delay() {
    let _turn = turn();
    for first in [SIGINT, SIGTERM] {
        run(async {
            let (readiness, _storage) = ready();
            let mut shutdown = task::spawn(readiness.drain_on_signal(DELAY).unwrap());
            assert_pending!(shutdown.poll());
            handles(&mut shutdown, first).await;
            assert_pending!(shutdown.poll());
            assert_eq!(phase(&readiness), Phase::Draining);
            handles(&mut shutdown, SIGINT).await;
            assert_ready!(shutdown.poll());
            assert_eq!(phase(&readiness), Phase::Closing);
        });
    }
}

#[test]
fn one_ctrl_c_that_several_hear_is_one() {
    let _turn = turn();
    run(async {
        let (readiness, _storage) = ready();
        let mut shutdowns =
            [(); 2].map(|()| task::spawn(readiness.drain_on_signal(DELAY).unwrap()));
        for shutdown in &mut shutdowns {
            assert_pending!(shutdown.poll());
        }
        handles(&mut shutdowns[0], SIGINT).await;
        until(|| shutdowns[1].is_woken()).await;
        for shutdown in &mut shutdowns {
            assert_pending!(shutdown.poll());
            assert_pending!(shutdown.poll());
        }
        assert_eq!(phase(&readiness), Phase::Draining);
    });
}

#[test]
fn a_signal_before_the_first_poll_is_not_lost() {
    let _turn = turn();
    run(async {
        let (readiness, _storage) = ready();
        let shutdown = readiness.drain_on_signal(Duration::ZERO).unwrap();
        raise(SIGTERM).unwrap();
        support::soon(shutdown).await;
        assert_eq!(phase(&readiness), Phase::Closing);
    });
}

#[test]
fn sigterm_during_startup_never_opens_the_gate() {
    let _turn = turn();
    run(async {
        let (readiness, storage) = starting();
        let mut shutdown = task::spawn(readiness.drain_on_signal(DELAY).unwrap());
        assert_pending!(shutdown.poll());
        handles(&mut shutdown, SIGTERM).await;
        assert_pending!(shutdown.poll());
        storage.ready();
        assert!(!readiness.verdict().has_started());
        assert!(!readiness.verdict().is_ready());
    });
}

#[test]
fn other_signals_drain_if_they_are_chosen() {
    let _turn = turn();
    run(async {
        let (readiness, _storage) = ready();
        let signals = Signals::none().number(SIGQUIT).number(SIGUSR1);
        let shutdown = readiness.shutdown().delay(DELAY).on_signals(signals);
        let mut shutdown = task::spawn(shutdown.build().unwrap());
        assert_pending!(shutdown.poll());
        handles(&mut shutdown, SIGUSR1).await;
        assert_pending!(shutdown.poll());
        assert_eq!(phase(&readiness), Phase::Draining);
        ignores(&mut shutdown, SIGQUIT).await;
    });
}

#[test]
fn a_signal_that_cannot_be_caught_is_an_error_where_it_is_asked_for() {
    let _turn = turn();
    run(async {
        let (readiness, _storage) = ready();
        for number in [SIGKILL, -1, 4_096] {
            let signals = Signals::default().number(number);
            let error = readiness.shutdown().on_signals(signals).build();
            let error = error.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot listen for signal {number}; choose one that a process may catch")
            );
            let ShutdownError::Signal { signal, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(signal, number);
        }
    });
}

#[test]
fn there_is_an_error_and_no_panic_outside_of_a_runtime() {
    let (readiness, _storage) = ready();
    let error = readiness.drain_on_signal(DELAY).unwrap_err();
    assert!(matches!(error, ShutdownError::NoRuntime), "{error}");
}

#[test]
fn ctrl_c_kills_again_once_the_shutdown_has_completed() {
    if env::var_os(CHILD).is_some() {
        run(async {
            let (readiness, _storage) = ready();
            let shutdown = readiness.drain_on_signal(Duration::ZERO).unwrap();
            raise(SIGTERM).unwrap();
            shutdown.await;
            for _ in 0..3_000 {
                // SIGTERM does not end the process; SIGINT soon does.
                raise(SIGTERM).unwrap();
                raise(SIGINT).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        return;
    }
    let _turn = turn();
    let status = child("ctrl_c_kills_again_once_the_shutdown_has_completed");
    assert_eq!(status.signal(), Some(SIGINT), "{status}");
}

#[test]
fn the_ctrl_c_that_ends_the_delay_does_not_kill() {
    if env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for _ in 0..300 {
            let (readiness, _storage) = ready();
            let ended = {
                let _runtime = runtime.enter();
                tokio::spawn(readiness.drain_on_signal(DELAY).unwrap())
            };
            raise(SIGINT).unwrap();
            runtime.block_on(readiness.draining());
            // The handler runs on this thread, while other threads act on the signal already.
            raise(SIGINT).unwrap();
            runtime.block_on(support::soon(ended)).unwrap();
        }
        return;
    }
    let _turn = turn();
    let status = child("the_ctrl_c_that_ends_the_delay_does_not_kill");
    assert!(status.success(), "{status}");
}

#[test]
fn a_shutdown_that_fails_to_build_handles_no_signal() {
    if env::var_os(CHILD).is_some() {
        run(async {
            let (readiness, _storage) = ready();
            let signals = Signals::default().number(SIGKILL);
            assert!(readiness.shutdown().on_signals(signals).build().is_err());
            // The application then handles the signal itself.
            let interrupt = tokio::signal::unix::SignalKind::interrupt();
            let mut interrupt = tokio::signal::unix::signal(interrupt).unwrap();
            raise(SIGINT).unwrap();
            support::soon(interrupt.recv()).await;
        });
        return;
    }
    let _turn = turn();
    let status = child("a_shutdown_that_fails_to_build_handles_no_signal");
    assert!(status.success(), "{status}");
}

/// Fails to build: two signals can be handled, and the third cannot.
fn fails_to_build() {
    let (readiness, _storage) = ready();
    let signals = Signals::default().number(SIGKILL);
    assert!(readiness.shutdown().on_signals(signals).build().is_err());
}

#[test]
fn signals_kill_as_before_where_nothing_could_be_built() {
    if let Ok(signal) = env::var(CHILD) {
        run(async {
            fails_to_build();
            raise(signal.parse().unwrap()).unwrap();
        });
        return;
    }
    let _turn = turn();
    for signal in [SIGINT, SIGTERM] {
        let test = "signals_kill_as_before_where_nothing_could_be_built";
        let status = child_told(test, signal);
        assert_eq!(status.signal(), Some(signal), "{status}");
    }
}

#[test]
fn ctrl_c_kills_again_once_the_last_shutdown_was_dropped_even_after_a_failed_build() {
    if env::var_os(CHILD).is_some() {
        run(async {
            let (readiness, _storage) = ready();
            drop(readiness.drain_on_signal(DELAY).unwrap());
            fails_to_build();
            raise(SIGINT).unwrap();
        });
        return;
    }
    let _turn = turn();
    let status =
        child("ctrl_c_kills_again_once_the_last_shutdown_was_dropped_even_after_a_failed_build");
    assert_eq!(status.signal(), Some(SIGINT), "{status}");
}

#[test]
fn a_shutdown_that_fails_to_build_leaves_other_listeners_alone() {
    if env::var_os(CHILD).is_some() {
        run(async {
            let (readiness, _storage) = ready();
            let mut shutdown = task::spawn(readiness.drain_on_signal(DELAY).unwrap());
            assert_pending!(shutdown.poll());
            fails_to_build();
            handles(&mut shutdown, SIGINT).await;
        });
        return;
    }
    let _turn = turn();
    let status = child("a_shutdown_that_fails_to_build_leaves_other_listeners_alone");
    assert!(status.success(), "{status}");
}

#[test]
fn ctrl_c_does_not_kill_before() {
    if env::var_os(CHILD).is_some() {
        run(async {
            let (readiness, _storage) = ready();
            let mut shutdown = task::spawn(readiness.drain_on_signal(DELAY).unwrap());
            assert_pending!(shutdown.poll());
            handles(&mut shutdown, SIGINT).await;
            assert_pending!(shutdown.poll());
        });
        return;
    }
    let _turn = turn();
    let status = child("ctrl_c_does_not_kill_before");
    assert!(status.success(), "{status}");
}

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";

/// Runs one test of this binary in a process of its own.
fn child(test: &str) -> ExitStatus {
    child_told(test, 0)
}

/// As [`child`], with the number of a signal in the environment.
fn child_told(test: &str, signal: i32) -> ExitStatus {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, signal.to_string())
        .status()
        .unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
