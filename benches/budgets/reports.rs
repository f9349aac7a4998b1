//! Operations of reporters.

use crate::operation::Operation;
use futures_util::FutureExt;
use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use tower_readiness::{Builder, Readiness, Reporter, Subsystem};

pub(crate) fn registry(subsystems: usize, ready: bool) -> (Readiness, Vec<Reporter>) {
    let names: Vec<_> = (0..subsystems)
        .map(|index| format!("subsystem-{index}"))
        .collect();
    let declare = |name: &String| Subsystem::new(name).ttl(Duration::from_secs(3_600));
    let readiness = names
        .iter()
        .fold(Readiness::builder(), |builder, name| {
            builder.subsystem(declare(name))
        })
        .build()
        .expect("valid names");
    let claim = |name: &String| {
        let reporter = readiness.reporter(name).expect("a declared name");
        if ready {
            reporter.ready();
        }
        reporter
    };
    let reporters = names.iter().map(claim).collect();
    (readiness, reporters)
}

/// A process with so many subsystems, of which one alone reports and is required: the
/// reports of all others would take minutes under valgrind.
pub(crate) fn one_of_many(subsystems: usize) -> (Readiness, Reporter) {
    let required = subsystems / 2;
    let readiness = (0..subsystems)
        .map(|index| match Subsystem::new(format!("subsystem-{index}")) {
            subsystem if index == required => subsystem,
            subsystem => subsystem.optional(),
        })
        .fold(Readiness::builder(), Builder::subsystem)
        .build()
        .expect("valid names");
    let reporter = readiness.reporter(&format!("subsystem-{required}"));
    let reporter = reporter.expect("a declared name");
    reporter.ready();
    (readiness, reporter)
}

/// Alternates between two states, so that each report publishes a snapshot.
pub(crate) fn change(subsystems: usize) -> Operation {
    let (_, mut reporters) = registry(subsystems, true);
    let mut report = alternating(reporters.swap_remove(subsystems / 2));
    Box::new(move || {
        // A dropped reporter would be a report.
        black_box(&reporters);
        report();
    })
}

pub(crate) fn alternating(reporter: Reporter) -> impl FnMut() {
    let mut up = true;
    move || {
        up = !up;
        if up {
            reporter.ready();
        } else {
            reporter.failing("connection refused");
        }
    }
}

/// A change for which one task waits, and that task's next wait.
pub(crate) fn wake_a_subscriber() -> Operation {
    let (readiness, mut reporters) = registry(16, true);
    let mut report = alternating(reporters.swap_remove(8));
    let mut subscription = readiness.subscribe();
    subscription.changed().now_or_never();
    Box::new(move || {
        black_box(&reporters);
        let mut cx = Context::from_waker(Waker::noop());
        let mut changed = pin!(subscription.changed());
        assert!(changed.as_mut().poll(&mut cx).is_pending());
        report();
        assert!(black_box(changed.as_mut().poll(&mut cx)).is_ready());
    })
}
