//! A process that is stopped (SIGSTOP, a debugger, a suspended machine) and continues
//! counts no silence for the time of the stop.
#![cfg(unix)]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    io::{BufRead, BufReader, Write, stdin},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tower_readiness::{Readiness, State, Subsystem, watch::RuntimeWatch};

const TTL: Duration = Duration::from_millis(600);
/// Marks a child process.
const CHILD: &str = "TOWER_READINESS_TEST_STOPPED";

/// Sends heartbeats and prints each until the parent asks for silence; then prints
/// when the subsystem is stale.
fn child() {
    let silent = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&silent);
    thread::spawn(move || {
        let mut line = String::new();
        while stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
            told.store(true, Ordering::Relaxed);
        }
        // The parent has ended.
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("policy").ttl(TTL).vital())
            .build()
            .unwrap();
        let watch = RuntimeWatch::default().stalled_after(TTL);
        readiness.watch_runtime(watch).unwrap();
        let policy = readiness.reporter("policy").unwrap();
        policy.ready();
        tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                tokio::time::sleep(TTL / 8).await;
                if !silent.load(Ordering::Relaxed) {
                    policy.heartbeat();
                    let late = begun.elapsed() > TTL / 2;
                    println!("{}", if late { "late beat" } else { "beat" });
                }
            }
        });
        let mut subscription = readiness.subscribe();
        while let Ok(snapshot) = subscription.changed().await {
            for view in snapshot.subsystems() {
                if view.state() == State::Stale {
                    println!("stale {}", view.name());
                }
            }
        }
    });
}

#[test]
fn a_heartbeat_within_one_ttl_after_the_stop_prevents_staleness() {
    if env::var_os(CHILD).is_some() {
        return child();
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("a_heartbeat_within_one_ttl_after_the_stop_prevents_staleness")
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to_child = child.stdin.take().unwrap();
    let from_child = BufReader::new(child.stdout.take().unwrap());
    let mut lines = from_child.lines().map_while(Result::ok);
    let pid = Pid::from_child(&child);

    // How many of this many heartbeats were late, and how many found a stale state.
    let mut beats = |count: usize| {
        let (mut beats, mut late, mut stale) = (0, 0, 0);
        while beats < count {
            let line = lines.next().expect("the child goes on");
            beats += usize::from(line.ends_with("beat"));
            late += usize::from(line == "late beat");
            stale += usize::from(line.starts_with("stale "));
        }
        (late, stale)
    };
    beats(8);
    let mut judged = 0;
    while judged < 2 {
        kill_process(pid, Signal::STOP).unwrap();
        // Longer than every ttl, if the time of the stop counted.
        thread::sleep(TTL * 3);
        kill_process(pid, Signal::CONT).unwrap();
        let (late, stale) = beats(24);
        // More late heartbeats than the stopped one: this machine is too busy for the
        // child, so the run shows nothing.
        if late <= 1 {
            assert_eq!(stale, 0, "three ttls long");
            judged += 1;
        }
    }

    // Silence is found all the same.
    to_child.write_all(b"hush\n").unwrap();
    let stale = lines.find(|line| line == "stale policy");
    assert!(stale.is_some());
    drop(to_child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
