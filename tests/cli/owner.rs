use crate::{
    commands::{at, ended, get, post, raw, with_commands},
    folder::Folder,
    outcome,
    rows::Process,
    run,
};
use std::{
    fs::{self, Permissions, metadata, set_permissions},
    io::ErrorKind,
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    process::Command,
};
use tower_readiness::{
    Phase,
    client::{CommandError, Commands},
    server::{AdminListener, ServeError},
};

#[test]
fn only_the_owner_can_open_the_socket_whatever_the_umask() {
    let (_folder, _process, _server, path) = with_commands();
    let mode = |path: &str| metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    for wanted in [0o660, 0o666, 0o777, 0o600] {
        let (folder, process, server, _) = with_commands();
        server.stop();
        ended(&server);
        let listener = AdminListener::new(&process.readiness).socket_mode(wanted);
        let _server = listener.serve_on_thread(folder.socket()).unwrap();
        assert_eq!(mode(folder.socket().to_str().unwrap()), wanted);
    }
    let process = Process::ready();
    let listener = AdminListener::new(&process.readiness).socket_mode(0o1600);
    let error = listener.serve_on_thread("127.0.0.1:0").unwrap_err();
    assert!(matches!(error, ServeError::SocketMode { mode: 0o1600 }));
}

/// Checks that every command is refused for this reason and changes nothing.
fn refused(path: &str, process: &Process, reason: &str) {
    for command in ["pause", "resume", "drain"] {
        let (code, out) = at(path, &[command]);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains(reason), "{out}");
    }
    // The refusal does not say whether the process drains.
    let answer = raw(UnixStream::connect(path).unwrap(), &get("/commands/drain"));
    let takes_none = answer.starts_with("HTTP/1.1 404 ");
    assert!(takes_none || answer.contains(reason), "{answer}");
    let verdict = process.readiness.verdict();
    assert!(verdict.is_ready() && verdict.phase() == Phase::Started);
    // Probes are still answered.
    assert_eq!(run(&["check", path]).0, 0);
}

#[test]
fn a_socket_that_others_can_open_takes_no_commands() {
    let (_folder, process, _server, path) = with_commands();
    for mode in [0o620, 0o602, 0o666, 0o640, 0o610] {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        refused(&path, &process, "others may open the socket");
    }
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(at(&path, &["pause"]).0, 0);
}

#[test]
fn a_folder_in_which_others_can_replace_the_socket_takes_no_commands() {
    let (folder, process, _server, path) = with_commands();
    for mode in [0o777, 0o775, 0o757] {
        set_permissions(&folder.0, Permissions::from_mode(mode)).unwrap();
        refused(&path, &process, "others may replace the socket");
    }
    // The owner of the folder may replace the socket too; only root can change it.
    set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    if metadata(&path).unwrap().uid() == 0 {
        chown(&folder.0, Some(65_534), None).unwrap();
        refused(&path, &process, "others may replace the socket");
        chown(&folder.0, Some(0), None).unwrap();
    }
    // The mode of /tmp.
    set_permissions(&folder.0, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(at(&path, &["pause"]).0, 0);
}

#[test]
fn a_socket_that_was_moved_takes_no_commands() {
    let (folder, process, _server, path) = with_commands();
    let moved = folder.0.join("moved");
    fs::rename(path, &moved).unwrap();
    refused(moved.to_str().unwrap(), &process, "no longer there");
    // 503, because the listener may be about to end: drain --wait then retries.
    let answer = raw(
        UnixStream::connect(&moved).unwrap(),
        &get("/commands/drain"),
    );
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn a_listener_takes_no_commands_unless_they_are_enabled() {
    let folder = Folder::new();
    let process = Process::ready();
    let _server = process.readiness.serve_on_thread(folder.socket()).unwrap();
    let path = folder.socket();
    refused(
        path.to_str().unwrap(),
        &process,
        "accepts no commands (404); is it",
    );
    let error = Commands::new(path).drain().unwrap_err();
    assert!(matches!(error, CommandError::NotTaken { status: 404, .. }));
}

#[test]
fn other_users_cannot_command() {
    // Only root can run the command as another user.
    let (folder, process, _server, path) = with_commands();
    if metadata(&path).unwrap().uid() != 0 {
        return;
    }
    let binary = folder.0.join("readiness");
    fs::copy(env!("CARGO_BIN_EXE_readiness"), &binary).unwrap();
    let as_other_user = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(arguments).args(["--addr", &path]);
        command.uid(65_534).gid(65_534);
        // A process that another test starts now may hold the file open
        // for writing.
        while matches!(command.output(), Err(error) if error.kind() == ErrorKind::ExecutableFileBusy)
        {
        }
        let (code, out, _) = outcome(&mut command);
        (code, out)
    };
    let (code, out) = as_other_user(&["pause"]);
    assert_eq!(code, 1);
    assert!(out.contains("Permission denied"), "{out}");
    assert_eq!(as_other_user(&["check"]).0, 1);

    // With a mode that admits others, probes answer them and commands do not.
    set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(as_other_user(&["check"]).0, 0);
    let (code, out) = as_other_user(&["pause"]);
    assert_eq!(code, 1);
    assert!(out.contains("only the owner"), "{out}");
    assert!(process.readiness.verdict().is_ready());
}

#[test]
fn a_tcp_listener_takes_no_commands() {
    let process = Process::ready();
    let listener = AdminListener::new(&process.readiness).with_commands();
    let server = listener.serve_on_thread("127.0.0.1:0").unwrap();
    let address = server.local_addr().socket_addr().unwrap();
    let posts = ["pause", "resume", "drain"].map(|command| {
        let path = format!("/commands/{command}");
        post(&path, "content-length: 0\r\n\r\n")
    });
    for request in posts.into_iter().chain([get("/commands/drain")]) {
        let answer = raw(TcpStream::connect(address).unwrap(), &request);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    let verdict = process.readiness.verdict();
    assert!(verdict.is_ready() && verdict.phase() == Phase::Started);
}
