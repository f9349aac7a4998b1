//! Loom models of requests that wait at a gate. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.

use super::{
    Action, Hold, ReadinessLayer,
    gate::Gate,
    head::RequestHead,
    waiting_request::{NotAdmitted, WaitingRequest},
};
use crate::{
    registry::{Readiness, Reporter, Subsystem},
    state::{Phase, Reason, Reasons},
    sync::{RUNTIME, explore},
};
use http::Request;
use loom::{future::block_on, thread};
use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

static REQUEST: LazyLock<Request<()>> = LazyLock::new(|| Request::new(()));

fn head() -> RequestHead<'static> {
    RequestHead::from(&*REQUEST)
}

/// A service that has room, or none.
#[derive(Clone)]
struct Inner {
    has_room: bool,
}

impl tower_service::Service<Request<()>> for Inner {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.has_room {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(()))
    }
}

/// A subsystem and a gate that holds requests while it fails.
fn failing(set: impl FnOnce(ReadinessLayer, Action) -> ReadinessLayer) -> Failing {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("a"))
        .build()
        .unwrap();
    let a = readiness.reporter("a").unwrap();
    a.ready();
    a.failing("down");
    let hold = Hold::builder(Duration::from_secs(600))
        .max_waiting(1)
        .release(1);
    let hold = Action::Hold(hold.build().unwrap());
    let layer = ReadinessLayer::gate(&readiness).when_failing(hold.clone());
    let gate = Arc::clone(set(layer, hold).shared());
    Failing { readiness, a, gate }
}

struct Failing {
    readiness: Readiness,
    a: Reporter,
    gate: Arc<Gate>,
}

impl Failing {
    /// A request that the gate holds, or `None` if all wait slots are taken.
    fn hold(gate: &Arc<Gate>) -> Option<WaitingRequest> {
        let Action::Hold(hold) = &gate.settings.actions[Reason::Failing] else {
            unreachable!()
        };
        WaitingRequest::held(gate, Reason::Failing, hold, gate.basis(), Reasons::NONE)
    }
}

/// Polls a request that stays pending.
fn poll_once(waiting: &mut WaitingRequest) {
    let mut inner = Inner { has_room: false };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.poll(&mut inner, head(), &mut cx).is_pending());
}

/// Waits for the end of a request, whether the gate admits it or not.
fn outcome(mut waiting: WaitingRequest) -> Result<(), Reason> {
    let mut inner = Inner { has_room: true };
    match block_on(poll_fn(|cx| waiting.poll(&mut inner, head(), cx))) {
        Ok(_) => Ok(()),
        Err(NotAdmitted::Refused((reason, _))) => Err(reason),
        Err(NotAdmitted::Failed(never)) => match never {},
    }
}

/// Asserts that a drain, which begins at any moment of `course`, does not find the process
/// idle.
fn never_idle(readiness: &Readiness, course: impl FnOnce()) {
    let drain = {
        let readiness = readiness.clone();
        thread::spawn(move || {
            readiness.drain();
            assert!(!readiness.registry().traffic().is_idle());
        })
    };
    course();
    drain.join().unwrap();
}

#[test]
fn a_request_that_is_held_again_is_never_read_as_gone() {
    explore(2, || {
        let Failing { readiness, a, gate } = failing(|layer, _| layer.count_in_flight());
        a.ready();
        let _runtime = RUNTIME.enter();
        let mut waiting = WaitingRequest::admitted(&gate, gate.enter(head(), true), Reasons::NONE);
        a.failing("down");
        never_idle(&readiness, || poll_once(&mut waiting));
        drop((waiting, a));
    });
}

#[test]
fn a_held_request_that_is_admitted_is_never_read_as_gone() {
    explore(2, || {
        let Failing { readiness, a, gate } = failing(|layer, _| layer.count_in_flight());
        let _runtime = RUNTIME.enter();
        let mut waiting = Failing::hold(&gate).unwrap();
        a.ready();
        never_idle(&readiness, || poll_once(&mut waiting));
        drop((waiting, a));
    });
}

#[test]
fn a_request_that_is_held_for_another_reason_is_never_read_as_gone() {
    explore(2, || {
        let Failing { readiness, a, gate } = failing(ReadinessLayer::when_paused);
        let _runtime = RUNTIME.enter();
        let mut waiting = Failing::hold(&gate).unwrap();
        let pause = readiness.pause("maintenance");
        a.ready();
        never_idle(&readiness, || poll_once(&mut waiting));
        drop((waiting, pause, a));
    });
}

#[test]
fn a_request_whose_reason_came_back_before_its_release_is_not_admitted() {
    explore(2, || {
        let Failing { readiness, a, gate } = failing(|layer, _| layer);
        let _runtime = RUNTIME.enter();
        let mut waiting = Failing::hold(&gate).unwrap();
        let permit = {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
            let acquire = Arc::clone(&gate).acquire_release(Reason::Failing, deadline);
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(Some(permit)) = pin!(acquire).poll(&mut cx) else {
                panic!("the hold has one permit");
            };
            permit
        };
        a.ready();
        // It waits for the permit.
        poll_once(&mut waiting);
        let waits = thread::spawn(move || outcome(waiting));
        a.failing("down");
        drop(permit);
        readiness.advance(Phase::Closed);
        // A lost wake-up makes this hang, which loom reports.
        assert_eq!(waits.join().unwrap(), Err(Reason::Closed));
        drop(a);
    });
}

#[test]
fn held_requests_are_released_when_their_reason_has_passed() {
    explore(2, || {
        let Failing { a, gate, .. } = failing(|layer, _| layer);
        let _runtime = RUNTIME.enter();
        let waiting = Failing::hold(&gate).unwrap();
        let waits = thread::spawn(move || outcome(waiting));
        a.ready();
        a.failing("again");
        a.ready();
        // A lost wake-up makes this hang, which loom reports.
        assert_eq!(waits.join().unwrap(), Ok(()));
        assert_eq!(gate.settings.counts.waiting(Reason::Failing), 0);
        drop(a);
    });
}

#[test]
fn no_more_requests_wait_than_there_are_slots() {
    explore(3, || {
        let Failing { a, gate, .. } = failing(|layer, _| layer);
        let _runtime = RUNTIME.enter();
        let other = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || Failing::hold(&gate))
        };
        let held = [Failing::hold(&gate), other.join().unwrap()];
        assert_eq!(held.iter().flatten().count(), 1);
        drop((held, a));
    });
}
