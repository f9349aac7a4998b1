//! Faults that the comparison at the end has to find.

use super::Process;
use crate::{Error, options::Fault};
use std::{
    future::pending,
    mem,
    sync::atomic::Ordering,
    task::{Context, Waker},
};

/// Injects a fault. The subscribers have `Fault::Wakeup` themselves.
pub(crate) fn inject(process: &Process, fault: Fault) -> Result<(), Error> {
    match fault {
        Fault::Task => drop(tokio::spawn(pending::<()>())),
        Fault::Descriptor => mem::forget(std::fs::File::open("/dev/null")?),
        Fault::Guard => mem::forget(process.readiness.track()),
        Fault::Heap => mem::forget(vec![1_u8; 64 << 10]),
        Fault::Refusal => process.explainer.is_wrong.store(true, Ordering::Relaxed),
        Fault::Waiter => hold_for_ever(process),
        Fault::Wakeup => {}
    }
    Ok(())
}

/// Lets a request begin to wait, and forgets it.
fn hold_for_ever(process: &Process) {
    let _pause = process.readiness.pause("a request waits");
    let gate = Box::leak(Box::new(process.gate.clone()));
    let mut held = Box::pin(gate.admit());
    let mut context = Context::from_waker(Waker::noop());
    if held.as_mut().poll(&mut context).is_ready() {
        process
            .findings
            .add("a paused process does not hold a request");
    }
    mem::forget(held);
}
