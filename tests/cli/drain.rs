use crate::{
    commands::{at, commanded},
    readiness,
    rows::Process,
    run,
};
use std::{
    process::{Child, Stdio},
    thread,
    time::Duration,
};
use tower_readiness::Phase;

#[test]
fn a_drain_begins_and_may_be_commanded_again() {
    let (_folder, process, _server, path) = commanded();
    for _ in 0..2 {
        assert_eq!(at(&path, &["drain"]), (0, "draining\n".into()));
        assert_eq!(process.readiness.verdict().phase(), Phase::Draining);
    }
    process.readiness.advance(Phase::Closing);
    assert_eq!(at(&path, &["drain"]), (0, "closing\n".into()));
    assert_eq!(run(&["check", &path]).0, 0);
    assert_eq!(run(&["check", &path, "--ready"]).0, 1);
}

fn waiting(path: &str, process: &Process) -> Child {
    let mut child = readiness(&["drain", "--wait", "--addr", path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while process.readiness.verdict().phase() < Phase::Draining {
        assert_eq!(child.try_wait().unwrap(), None);
        thread::sleep(Duration::from_millis(1));
    }
    child
}

fn output(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

#[test]
fn who_waits_for_a_drain_returns_when_the_process_is_closed() {
    let (_folder, process, _server, path) = commanded();
    let mut child = waiting(&path, &process);
    process.readiness.advance(Phase::Closing);
    // It would have to return too early to fail here.
    assert_eq!(child.try_wait().unwrap(), None);
    process.readiness.advance(Phase::Closed);
    assert_eq!(output(child), (Some(0), "closed\n".into()));
}

#[test]
fn who_waits_for_a_drain_returns_when_the_listener_is_gone() {
    let (_folder, process, server, path) = commanded();
    let child = waiting(&path, &process);
    server.stop();
    let (code, out) = output(child);
    assert_eq!(code, Some(0), "{out}");
    assert!(process.readiness.verdict().phase() < Phase::Closed);
}

#[test]
fn who_waits_for_a_drain_can_limit_it() {
    let (_folder, _process, _server, path) = commanded();
    let (code, out) = at(&path, &["drain", "--wait", "--timeout", "0.05"]);
    assert_eq!(code, 1);
    assert!(out.contains("within 50ms"), "{out}");
    // That it never was there is no end of a drain.
    let (code, out) = at("/nowhere/admin.sock", &["drain", "--wait"]);
    assert_eq!(code, 1);
    assert!(out.contains("cannot connect"), "{out}");
}
