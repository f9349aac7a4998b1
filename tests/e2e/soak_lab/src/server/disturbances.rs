//! What disturbs the server from inside, on threads and tasks of its own.

use super::{Process, REPORTED, subscribers::Subscribers};
use crate::options::Fault;
use std::{sync::Arc, thread, time::Duration};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

pub(crate) struct Disturbances {
    threads: Vec<thread::JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    subscribers: Subscribers,
}

impl Disturbances {
    pub(crate) fn start(process: &Arc<Process>, fault: Option<Fault>) -> Self {
        process
            .ends
            .store(false, std::sync::atomic::Ordering::Relaxed);
        let mut threads = Vec::new();
        for name in REPORTED {
            threads.push(thread_of(process, move |process| reports(process, name)));
        }
        Self {
            threads,
            tasks: vec![explains(process)],
            subscribers: Subscribers::start(process, fault == Some(Fault::Wakeup)),
        }
    }

    /// Ends all, and leaves the subsystems ready.
    pub(crate) async fn end(self, process: &Arc<Process>) {
        process
            .ends
            .store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in self.threads {
            let joined = spawn_blocking(|| thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                process.findings.add("a thread panicked");
            }
        }
        for task in self.tasks {
            if let Err(error) = task.await {
                process.findings.add(&format!("a task: {error}"));
            }
        }
        self.subscribers.end(process).await;
        process.explainer.explain(process);
        process.explainer.forget();
    }
}

/// Runs `turn` on a thread until the disturbances end.
fn thread_of(
    process: &Arc<Process>,
    mut turn: impl FnMut(&Process) + Send + 'static,
) -> thread::JoinHandle<()> {
    let process = Arc::clone(process);
    thread::spawn(move || {
        while !process.ends() {
            turn(&process);
        }
    })
}

fn pause_for(most: u64) {
    thread::sleep(Duration::from_millis(fastrand::u64(..=most)));
}

/// Reports a subsystem for a while, mostly as up, and leaves it ready.
fn reports(process: &Process, name: &'static str) {
    let Some(reporter) = process.reporters.lock().unwrap().remove(name) else {
        return;
    };
    for number in 0..fastrand::u32(..100) {
        if number % 2 == 0 {
            reporter.degraded(format!("slow {number:04}"));
        } else {
            reporter.ready();
        }
        pause_for(4);
    }
    match fastrand::u8(..4) {
        0 => reporter.starting("reconnects"),
        _ => reporter.failing("connection refused"),
    }
    // Longer than a request is held, once in a while.
    pause_for(if fastrand::u8(..5) == 0 { 500 } else { 30 });
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

/// Explains the answers of the clients as they come.
fn explains(process: &Arc<Process>) -> JoinHandle<()> {
    let process = Arc::clone(process);
    tokio::spawn(async move {
        while !process.ends() {
            process.explainer.explain(&process);
            sleep(Duration::from_millis(20)).await;
        }
    })
}
