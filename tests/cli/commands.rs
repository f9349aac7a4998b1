use crate::{folder::Folder, rows::Process, run};
use std::{
    fs::{self, Permissions, set_permissions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    time::Duration,
};
use tower_readiness::{
    client::Commands,
    server::{AdminListener, AdminServer},
};

/// Returns a process with commands, and the path of its socket.
pub(crate) fn with_commands() -> (Folder, Process, AdminServer, String) {
    let folder = Folder::new();
    set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    let process = Process::ready();
    let listener = AdminListener::new(&process.readiness).with_commands();
    let server = listener.serve_on_thread(folder.socket()).unwrap();
    let path = folder.socket().to_str().unwrap().to_owned();
    (folder, process, server, path)
}

pub(crate) fn at(path: &str, arguments: &[&str]) -> (i32, String) {
    run(&[arguments, &["--addr", path]].concat())
}

#[test]
fn a_pause_turns_readiness_red_until_it_is_resumed() {
    let (_folder, process, _server, path) = with_commands();
    assert_eq!(
        at(&path, &["pause", "disk is full"]),
        (0, "paused\n".into())
    );
    let line = "not ready: paused (disk is full)\n";
    assert_eq!(run(&["check", &path, "--ready"]), (1, line.into()));
    assert_eq!(run(&["check", &path]).0, 0);
    // The newer reason counts, and one resume ends the pause.
    assert_eq!(at(&path, &["pause"]), (0, "paused\n".into()));
    assert_eq!(process.readiness.snapshot().paused(), Some(""));
    assert_eq!(at(&path, &["resume"]), (0, "resumed\n".into()));
    assert_eq!(run(&["check", &path, "--ready"]).0, 0);
    assert_eq!(at(&path, &["resume"]), (0, "was not paused\n".into()));

    let own = process.readiness.pause("standby");
    assert_eq!(at(&path, &["pause", "x"]).0, 0);
    let still = (0, "still paused, by the process itself\n".into());
    assert_eq!(at(&path, &["resume"]), still);
    assert_eq!(at(&path, &["resume"]), still);
    drop(own);
    assert_eq!(run(&["check", &path, "--ready"]).0, 0);
}

#[test]
fn readiness_never_turns_green_between_two_pauses() {
    let (_folder, process, _server, path) = with_commands();
    let commands = Commands::new(&path);
    commands.pause("first").unwrap();
    let before = process.readiness.snapshot().version();
    commands.pause("second").unwrap();
    let snapshot = process.readiness.snapshot();
    assert_eq!(snapshot.paused(), Some("second"));
    // The end of the first pause published no version of its own.
    assert_eq!(snapshot.version(), before + 1);
}

#[test]
fn a_pause_ends_with_the_listener() {
    let (_folder, process, server, path) = with_commands();
    assert_eq!(at(&path, &["pause", "x"]).0, 0);
    assert!(process.readiness.snapshot().paused().is_some());
    server.stop();
    ended(&server);
    assert_eq!(process.readiness.snapshot().paused(), None);
}

// === requests by hand ===

pub(crate) fn raw(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

pub(crate) fn post(path: &str, more: &str) -> String {
    request("POST", path, more)
}

pub(crate) fn get(path: &str) -> String {
    request("GET", path, "\r\n")
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}")
}

#[test]
fn commands_need_the_method_post() {
    let (_folder, process, _server, path) = with_commands();
    for (command, methods, allowed) in [
        ("pause", &["GET", "PUT", "DELETE", "OPTIONS"][..], "POST"),
        ("resume", &["GET", "PUT", "DELETE", "OPTIONS"], "POST"),
        ("drain", &["HEAD", "PUT", "DELETE", "OPTIONS"], "GET, POST"),
    ] {
        for method in methods {
            let request = request(method, &format!("/commands/{command}"), "\r\n");
            let answer = raw(UnixStream::connect(&path).unwrap(), &request);
            assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
            let allow = format!("\r\nallow: {allowed}\r\n");
            assert!(answer.contains(&allow), "{answer}");
        }
    }
    let unknown = post("/commands/reboot", "content-length: 0\r\n\r\n");
    let answer = raw(UnixStream::connect(&path).unwrap(), &unknown);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(process.readiness.verdict().is_ready());
}

#[test]
fn a_reason_that_is_too_long_or_does_not_arrive_pauses_nothing() {
    let (folder, process, server, path) = with_commands();
    // The second reason is longer than the buffers of the socket, so its client
    // gets the answer only if the listener reads on.
    for length in [5_000, 1 << 20] {
        let reason = "x".repeat(length);
        let body = format!("content-length: {length}\r\n\r\n{reason}");
        let request = post("/commands/pause", &body);
        let answer = raw(UnixStream::connect(&path).unwrap(), &request);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    assert!(process.readiness.verdict().is_ready());

    server.stop();
    ended(&server);
    let listener = AdminListener::new(&process.readiness).with_commands();
    let listener = listener.header_timeout(Duration::from_millis(50));
    let _server = listener.serve_on_thread(folder.socket()).unwrap();
    let request = post("/commands/pause", "content-length: 5\r\n\r\nabc");
    let answer = raw(UnixStream::connect(&path).unwrap(), &request);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(process.readiness.verdict().is_ready());
}

/// Waits until the listener has ended.
pub(crate) fn ended(server: &AdminServer) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(server.stopped());
}

#[test]
fn a_file_that_is_not_a_socket_is_an_error() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let (code, out) = at(path_of(&file), &["drain"]);
    assert_eq!(code, 1);
    assert!(out.contains("is not a socket"), "{out}");
}

fn path_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
