use crate::{
    commands::{at, get, raw, with_commands},
    folder::Folder,
    readiness,
    rows::Process,
    run,
};
use std::{
    fs::{self, Permissions, set_permissions},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    process::{Child, Stdio},
    thread,
    time::Duration,
};
use tower_readiness::{
    Phase,
    server::{AdminListener, AdminServer},
};

#[test]
fn a_drain_begins_and_can_be_commanded_again() {
    let (_folder, process, _server, path) = with_commands();
    for _ in 0..2 {
        assert_eq!(at(&path, &["drain"]), (0, "draining\n".into()));
        assert_eq!(process.readiness.verdict().phase(), Phase::Draining);
    }
    process.readiness.advance(Phase::Closing);
    assert_eq!(at(&path, &["drain"]), (0, "closing\n".into()));
    assert_eq!(run(&["check", &path]).0, 0);
    assert_eq!(run(&["check", &path, "--ready"]).0, 1);
}

fn begin_to_wait(path: &str) -> Child {
    readiness(&["drain", "--wait", "--addr", path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn waiting(path: &str, process: &Process) -> Child {
    let mut child = begin_to_wait(path);
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
fn drain_wait_returns_when_the_process_is_closed() {
    let (_folder, process, _server, path) = with_commands();
    let mut child = waiting(&path, &process);
    process.readiness.advance(Phase::Closing);
    // Fails only if the command returns too early.
    assert_eq!(child.try_wait().unwrap(), None);
    process.readiness.advance(Phase::Closed);
    assert_eq!(output(child), (Some(0), "closed\n".into()));
}

#[test]
fn drain_wait_returns_when_the_listener_is_gone() {
    let (_folder, process, server, path) = with_commands();
    let child = waiting(&path, &process);
    server.stop();
    let (code, out) = output(child);
    assert_eq!(code, Some(0), "{out}");
    assert!(process.readiness.verdict().phase() < Phase::Closed);
}

/// Accepts a connection, and reads the head of a request.
fn request(listener: &UnixListener) -> (UnixStream, String) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    (stream, head)
}

/// The draining process may be the first process of the container in which the
/// command runs. Then its exit kills the command, so it waits for the command.
#[test]
fn drain_wait_closes_its_connections_only_by_its_exit() {
    let folder = Folder::new();
    let path = folder.socket();
    let listener = UnixListener::bind(&path).unwrap();
    // The output of the command is full, so it cannot exit until the test reads.
    let (mut reader, output) = UnixStream::pair().unwrap();
    output.set_nonblocking(true).unwrap();
    while (&output).write(&[b'x'; 4096]).is_ok() {}
    output.set_nonblocking(false).unwrap();
    let mut child = readiness(&["drain", "--wait", "--addr", path.to_str().unwrap()])
        .stdout(OwnedFd::from(output))
        .spawn()
        .unwrap();

    let (mut drain, head) = request(&listener);
    assert!(!head.contains("connection: close"), "{head}");
    drain
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndraining\n")
        .unwrap();
    let (mut wait, head) = request(&listener);
    assert!(head.starts_with("GET /commands/drain "), "{head}");
    assert!(!head.contains("connection: close"), "{head}");
    wait.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nclosed\n")
        .unwrap();
    for connection in [&mut drain, &mut wait] {
        // Long enough for a command that closes too early.
        let time = Some(Duration::from_millis(300));
        connection.set_read_timeout(time).unwrap();
        let error = connection.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        connection.set_read_timeout(None).unwrap();
    }

    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    assert_eq!(printed.trim_start_matches('x'), "closed\n");
    for mut connection in [drain, wait] {
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Starts a command that waits for a process, which then ends without an answer;
/// `next` listens at the same path.
fn waiting_with_successor(next: &Process) -> (Folder, AdminServer, Child) {
    let folder = Folder::new();
    set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    let path = folder.socket();
    let old = UnixListener::bind(&path).unwrap();
    let child = begin_to_wait(path.to_str().unwrap());
    let accept = || {
        let (stream, _) = old.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream
    };
    let draining = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndraining\n";
    accept().write_all(draining).unwrap();
    let unanswered = accept();
    fs::remove_file(&path).unwrap();
    let listener = AdminListener::new(&next.readiness).with_commands();
    let server = listener.serve_on_thread(path).unwrap();
    drop(unanswered);
    (folder, server, child)
}

#[test]
fn drain_wait_does_not_drain_a_successor() {
    let next = Process::ready();
    let (_folder, _server, mut child) = waiting_with_successor(&next);
    // A command that had drained the successor would wait for it.
    while child.try_wait().unwrap().is_none() {
        assert_eq!(next.readiness.verdict().phase(), Phase::Started);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(output(child), (Some(0), "gone\n".into()));
    assert_eq!(next.readiness.verdict().phase(), Phase::Started);
}

#[test]
fn drain_wait_waits_for_a_successor_that_drains_too() {
    let next = Process::ready();
    next.readiness.drain();
    let (_folder, _server, child) = waiting_with_successor(&next);
    next.readiness.advance(Phase::Closed);
    assert_eq!(output(child), (Some(0), "closed\n".into()));
}

#[test]
fn waiting_begins_no_drain() {
    let (_folder, process, _server, path) = with_commands();
    let wait = || raw(UnixStream::connect(&path).unwrap(), &get("/commands/drain"));
    let answer = wait();
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(answer.ends_with("the process does not drain\n"), "{answer}");
    assert_eq!(process.readiness.verdict().phase(), Phase::Started);
    process.readiness.advance(Phase::Closed);
    let answer = wait();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("closed\n"), "{answer}");
}

#[test]
fn drain_wait_has_a_timeout() {
    let (_folder, _process, _server, path) = with_commands();
    let (code, out) = at(&path, &["drain", "--wait", "--timeout", "0.05"]);
    assert_eq!(code, 1);
    assert!(out.contains("within 50ms"), "{out}");
    // A process that never listened has not ended a drain.
    let (code, out) = at("/nowhere/admin.sock", &["drain", "--wait"]);
    assert_eq!(code, 1);
    assert!(out.contains("cannot connect"), "{out}");
}
