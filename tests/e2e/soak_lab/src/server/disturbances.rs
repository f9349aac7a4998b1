//! The disturbances from inside, on threads and tasks of their own.

use super::{
    Process,
    explain::Answered,
    listeners, replicas,
    subscribers::Subscribers,
    subsystems::{FAILING, HANGING, HISTORY, READY, REPORTED},
};
use crate::{Error, options::Fault};
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tower_readiness::{Role, Subsystem};

/// Fails a wait that should have ended.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Disturbances {
    threads: Vec<thread::JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    subscribers: Subscribers,
}

impl Disturbances {
    pub(crate) fn start(process: &Arc<Process>, fault: Option<Fault>) -> Self {
        process.ends.store(false, Ordering::Relaxed);
        let mut threads = Vec::new();
        for name in REPORTED {
            threads.push(thread_of(process, move |process| reports(process, name)));
        }
        threads.push(thread_of(process, changes_members));
        threads.push(thread_of(process, changes_members));
        threads.push(thread_of(process, reconfigures));
        threads.push(thread_of(process, pauses));
        threads.push(thread_of(process, silences));
        for check in 0..2 {
            threads.push(thread_of(process, move |process| {
                fails_check(process, check)
            }));
        }
        threads.push(thread_of(process, explains));
        let mut tasks = Vec::new();
        for _ in 0..2 {
            tasks.push(tokio::spawn(listeners::come_and_go(Arc::clone(process))));
            tasks.push(tokio::spawn(replicas::replace(Arc::clone(process))));
        }
        for _ in 0..5 {
            tasks.push(tokio::spawn(subscribes(Arc::clone(process))));
            tasks.push(tokio::spawn(waits(Arc::clone(process))));
            tasks.push(tokio::spawn(asks_gate(Arc::clone(process))));
        }
        Self {
            threads,
            tasks,
            subscribers: Subscribers::start(process, fault == Some(Fault::Wakeup)),
        }
    }

    /// Ends all, and leaves the subsystems ready.
    pub(crate) async fn end(self, process: &Arc<Process>) {
        process.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let joined = spawn_blocking(|| thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                process.findings.add("a thread panicked");
            }
        }
        for task in self.tasks {
            match timeout(SOON, task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => process.findings.add(&format!("a task: {error}")),
                Err(_) => process.findings.add("a task does not end"),
            }
        }
        // The checks succeed again by now, or soon.
        ends_in_time(
            process,
            "the process to be ready",
            process.readiness.wait_ready(),
        )
        .await;
        fill_history(process);
        self.subscribers.end(process).await;
        process.explainer.explain(process);
        process.explainer.forget();
    }
}

/// Runs `turn` on a thread until the disturbances end.
fn thread_of(
    process: &Arc<Process>,
    turn: impl Fn(&Process) + Send + 'static,
) -> thread::JoinHandle<()> {
    let process = Arc::clone(process);
    thread::spawn(move || {
        while !process.ends() {
            turn(&process);
        }
    })
}

/// Waits for a random time, and until the log of versions has caught up.
fn pause_for(process: &Process, most: u64) {
    thread::sleep(Duration::from_millis(fastrand::u64(..=most)));
    while process.explainer.is_behind(&process.readiness) {
        // The thread that explains may have ended.
        if process.ends() {
            process.explainer.explain(process);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reports a subsystem for a while, mostly as up, and leaves it ready.
fn reports(process: &Process, name: &'static str) {
    let Some(reporter) = process.reporters.lock().unwrap().remove(name) else {
        return;
    };
    for number in 0..fastrand::u32(..200) {
        if number % 2 == 0 {
            reporter.degraded(format!("slow {number:04}"));
        } else {
            reporter.ready();
        }
        pause_for(process, 4);
    }
    match fastrand::u8(..4) {
        0 => reporter.starting("reconnects"),
        _ => reporter.failing("connection refused"),
    }
    // Longer than a request is held, once in a while.
    pause_for(process, if fastrand::u8(..10) == 0 { 500 } else { 20 });
    let reporter = if fastrand::bool() {
        drop(reporter);
        process.readiness.reporter(name)
    } else {
        Ok(reporter)
    };
    match reporter {
        Ok(reporter) => {
            reporter.ready();
            process.reporters.lock().unwrap().insert(name, reporter);
            process.count("outages");
        }
        Err(error) => process.findings.add(&error.to_string()),
    }
}

/// Fills the history with the same transitions at each rest, so that the heap does not differ
/// by the length of their reasons.
fn fill_history(process: &Process) {
    let reporters = process.reporters.lock().unwrap();
    let Some(storage) = reporters.get("storage") else {
        return process.findings.add("the reporter of storage is lost");
    };
    for _ in 0..HISTORY {
        storage.degraded("slow 0000");
        storage.ready();
        if process.explainer.is_behind(&process.readiness) {
            process.explainer.explain(process);
        }
    }
}

/// Adds members to the group, reports them and retires them.
fn changes_members(process: &Process) {
    let changed = || -> Result<(), Error> {
        let group = process.readiness.group("upstream")?;
        let mut members = Vec::new();
        for _ in 0..fastrand::u8(1..40) {
            let name = format!("member-{:016x}", fastrand::u64(..));
            let member = group.add(&name)?;
            member.ready();
            let member = if fastrand::bool() {
                drop(member);
                group.reporter(&name)?
            } else {
                member
            };
            members.push(member);
            pause_for(process, 2);
        }
        for member in members {
            match fastrand::u8(..3) {
                0 => member.failing("down"),
                1 => member.degraded("slow"),
                _ => member.ready(),
            }
            pause_for(process, 2);
            member.retire();
            process.count("members retired");
        }
        Ok(())
    }();
    found(process, changed);
}

/// Changes roles and members of the scope, adds a subsystem and removes it.
fn reconfigures(process: &Process) {
    let changed = || -> Result<(), Error> {
        let readiness = &process.readiness;
        let role = fastrand::choice([Role::Required, Role::Optional]).unwrap_or_default();
        readiness.reconfigure(|plan| {
            plan.role("index", role)
                .add(Subsystem::new("extra").optional())
                .add_to_scope("search", "extra");
        })?;
        pause_for(process, 20);
        let extra = readiness.reporter("extra")?;
        extra.ready();
        pause_for(process, 20);
        readiness.reconfigure(|plan| {
            plan.role("index", Role::Required)
                .remove_from_scope("search", "extra")
                .remove("extra");
        })?;
        process.count("reconfigurations");
        Ok(())
    }();
    found(process, changed);
    pause_for(process, 50);
}

fn pauses(process: &Process) {
    pause_for(process, 1000);
    let pause = process.readiness.pause("maintenance");
    pause_for(process, 30);
    drop(pause);
    process.count("pauses");
}

/// Lets a subsystem with a `ttl` be silent for longer than that, once in a while.
fn silences(process: &Process) {
    pause_for(process, 1000);
    process.switches.is_silent.store(true, Ordering::Relaxed);
    pause_for(process, 1000);
    process.switches.is_silent.store(false, Ordering::Relaxed);
    process.count("silences");
}

fn fails_check(process: &Process, check: usize) {
    let switch = &process.switches.checks[check];
    pause_for(process, 2000);
    let answer = fastrand::choice([FAILING, HANGING]).unwrap_or(FAILING);
    switch.store(answer, Ordering::Relaxed);
    pause_for(process, 150);
    switch.store(READY, Ordering::Relaxed);
    process.count("checks failed");
}

fn found(process: &Process, result: Result<(), Error>) {
    if let Err(error) = result {
        process.findings.add(&error.to_string());
    }
}

async fn ends_in_time<F: Future>(process: &Process, name: &str, waits: F) -> Option<F::Output> {
    let ended = timeout(SOON, waits).await;
    if ended.is_err() {
        let finding = format!("a task waits for {name}, for more than {SOON:?}");
        process.findings.add(&finding);
    }
    ended.ok()
}

/// Explains the answers of the clients as they come.
fn explains(process: &Process) {
    process.explainer.explain(process);
    thread::sleep(Duration::from_millis(5));
}

/// Subscribes for a few changes, and gives up some of them.
async fn subscribes(process: Arc<Process>) {
    while !process.ends() {
        let mut subscription = process.readiness.subscribe();
        for _ in 0..fastrand::u8(..10) {
            let time = Duration::from_millis(fastrand::u64(..20));
            // Without a change in this time, the next wait begins anew.
            let _ = timeout(time, subscription.changed()).await;
        }
        sleep(Duration::from_millis(1)).await;
        process.count("subscriptions");
    }
}

/// Waits until the process is ready, again and again.
async fn waits(process: Arc<Process>) {
    while !process.ends() {
        ends_in_time(
            &process,
            "the process to be ready",
            process.readiness.wait_ready(),
        )
        .await;
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
}

/// Asks the gate without a request, and gives up some of the answers.
async fn asks_gate(process: Arc<Process>) {
    while !process.ends() {
        let began = process.readiness.snapshot().version();
        let time = if fastrand::bool() {
            SOON
        } else {
            Duration::from_millis(2)
        };
        if let Ok(decided) = timeout(time, process.gate.admit()).await {
            process.explainer.add(Answered {
                began,
                ended: process.readiness.snapshot().version(),
                refusal: decided.err(),
            });
        }
        sleep(Duration::from_millis(fastrand::u64(..5))).await;
    }
}
