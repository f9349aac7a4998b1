use crate::{
    commands::{at, commanded, get, raw},
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

/// Reads the head of a request, and gives the connection back.
fn request(listener: &UnixListener) -> (UnixStream, String) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    (stream, head)
}

/// The process at the other end may be the first one of the container that the
/// command runs in, and kill it by ending before it has.
#[test]
fn who_waits_for_a_drain_hangs_up_when_it_exits_and_not_before() {
    let folder = Folder::new();
    let path = folder.socket();
    let listener = UnixListener::bind(&path).unwrap();
    // Nobody reads what it prints until there is room, so it cannot exit.
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
        // Time enough to hang up too early.
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

/// What waits for a process that is over without a word, and `next` at its path.
fn waiting_beyond(next: &Process) -> (Folder, AdminServer, Child) {
    let folder = Folder::new();
    set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    let path = folder.socket();
    let old = UnixListener::bind(&path).unwrap();
    let child = begin_to_wait(path.to_str().unwrap());
    let asked = || {
        let (stream, _) = old.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream
    };
    let obeyed = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndraining\n";
    asked().write_all(obeyed).unwrap();
    let unanswered = asked();
    fs::remove_file(&path).unwrap();
    let listener = AdminListener::new(&next.readiness).with_commands();
    let server = listener.serve_on_thread(path).unwrap();
    drop(unanswered);
    (folder, server, child)
}

#[test]
fn the_successor_of_one_that_is_waited_for_is_left_alone() {
    let next = Process::ready();
    let (_folder, _server, mut child) = waiting_beyond(&next);
    // It would wait for what it had begun.
    while child.try_wait().unwrap().is_none() {
        assert_eq!(next.readiness.verdict().phase(), Phase::Started);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(output(child), (Some(0), "gone\n".into()));
    assert_eq!(next.readiness.verdict().phase(), Phase::Started);
}

#[test]
fn a_successor_that_drains_too_is_waited_for() {
    let next = Process::ready();
    next.readiness.drain();
    let (_folder, _server, child) = waiting_beyond(&next);
    next.readiness.advance(Phase::Closed);
    assert_eq!(output(child), (Some(0), "closed\n".into()));
}

#[test]
fn waiting_begins_no_drain() {
    let (_folder, process, _server, path) = commanded();
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
