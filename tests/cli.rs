//! The command `readiness`, as a supervisor and an operator run it.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/rows.rs"]
mod rows;

use rows::{Process, Row, rows, silent_port};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
};
use tower_readiness::{Readiness, Subsystem, client::Address, server::AdminServer};

const ANYWHERE: &str = "127.0.0.1:0";

fn readiness(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readiness"));
    command.args(arguments).env_remove("READINESS_ADDR");
    command.stdin(Stdio::null());
    command
}

/// The exit code and both outputs.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code().expect("an exit code"),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn run(arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = outcome(&mut readiness(arguments));
    assert_eq!(err, "");
    (code, out)
}

fn serve(process: &Process) -> (AdminServer, String) {
    let server = process.readiness.serve_on_thread(ANYWHERE).unwrap();
    let address = server.local_addr().to_string();
    (server, address)
}

// === check ===

#[test]
fn it_exits_as_the_truth_table_says() {
    for (name, process, expected) in rows() {
        let (_server, address) = serve(&process);
        let exits_with_0 = |question: &[&str]| {
            let (code, out) = run(&[&["check", &address], question].concat());
            assert!(code == 0 || code == 1, "{name}: {code}");
            assert_eq!(out.lines().count(), 1, "{name}: {out}");
            code == 0
        };
        let exits = Row {
            default: exits_with_0(&[]),
            ready: exits_with_0(&["--ready"]),
            live: exits_with_0(&["--live"]),
            startup: exits_with_0(&["--startup"]),
            search: exits_with_0(&["--scope", "search"]),
        };
        assert_eq!(exits, expected, "{name}");
    }
}

#[test]
fn it_says_who_and_why() {
    let process = Process::ready();
    process.storage.failing("connection refused");
    let (_server, address) = serve(&process);
    assert_eq!(run(&["check", &address]), (0, "started, live\n".into()));
    let line = "not ready: storage failing (connection refused)\n";
    assert_eq!(run(&["check", "--ready", &address]), (1, line.into()));

    let (code, out) = run(&["check", "--ready", "--verbose", &address]);
    assert_eq!(code, 1);
    assert!(out.starts_with(line), "{out}");
    assert!(
        out.contains("\n[-]storage failing (required) for "),
        "{out}"
    );
    assert!(out.contains("\n[+]cache ready (optional) for "), "{out}");

    let (code, out) = run(&["check", "--ready", "--json", "--verbose", &address]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["ok"].as_bool()), (1, Some(false)));
    assert_eq!(json["subsystems"][0]["reason"], "connection refused");
}

#[test]
fn it_leaves_out_what_it_is_told_to() {
    let process = Process::ready();
    process.storage.failing("x");
    process.engine.failing("x");
    let (_server, address) = serve(&process);
    let ready = ["check", &address, "--ready"];
    let with = |more: &[&str]| run(&[&ready, more].concat()).0;
    assert_eq!(with(&[]), 1);
    assert_eq!(with(&["--exclude", "storage"]), 1);
    assert_eq!(with(&["--exclude=storage", "--exclude", "engine"]), 0);
    assert_eq!(
        with(&["--exclude=storage", "--exclude", "engine", "--json"]),
        0
    );
}

#[test]
fn names_that_nobody_has_are_told() {
    let process = Process::ready();
    let (_server, address) = serve(&process);
    for format in [&[][..], &["--verbose"], &["--json"]] {
        let with = |more: &[&str]| run(&[&["check", &address], more, format].concat());
        let (code, out) = with(&["--exclude", "kache", "--exclude", "cache"]);
        assert_eq!(code, 1);
        assert!(
            out.contains("knows no subsystem to exclude: kache"),
            "{out}"
        );
        let (code, out) = with(&["--scope", "serch"]);
        assert_eq!(code, 1);
        assert!(out.contains("knows no scope or subsystem"), "{out}");
    }
}

#[test]
fn the_address_may_come_from_the_environment() {
    let process = Process::ready();
    let (_server, address) = serve(&process);
    let with = |value: &str, arguments: &[&str]| {
        outcome(readiness(arguments).env("READINESS_ADDR", value))
    };
    assert_eq!(with(&address, &["check"]).0, 0);
    assert_eq!(with("127.0.0.1:1", &["check", &address]).0, 0);
    assert_eq!(with("127.0.0.1:1", &["check", "--addr", &address]).0, 0);
    let (code, out, err) = with("localhost", &["check"]);
    assert_eq!((code, &*out), (64, ""));
    assert!(err.starts_with("readiness: READINESS_ADDR: "), "{err}");
    // Empty as if it were not there.
    let default = Address::default().to_string();
    assert!(with("", &["check"]).1.contains(&default));
}

#[test]
fn where_nothing_answers_is_unhealthy_in_one_line() {
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, out) = run(&["check", &address, "--timeout", "0.05"]);
    assert_eq!(
        (code, out),
        (1, format!("no answer from {address} within 50ms\n"))
    );
    let (_socket, address) = silent_port();
    let address = address.to_string();
    let (code, out) = run(&["check", &address]);
    assert_eq!(code, 1);
    assert!(out.contains(&address) && out.contains("refused"), "{out}");
    let (code, out) = run(&["check", &address, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["ok"].as_bool()), (1, Some(false)));
    assert!(json["error"].as_str().unwrap().contains("refused"));
}

#[test]
fn wrong_usage_is_64_and_says_what_is_wrong() {
    for (arguments, says) in [
        (&[][..], "check, pause"),
        (&["chekc"], "chekc"),
        (&["check", "--redy"], "--redy"),
        (&["check", "-x"], "-x"),
        (&["check", "localhost:1"], "no host name"),
        (&["check", "127.0.0.1"], "127.0.0.1"),
        (&["check", "127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2"),
        (&["check", "127.0.0.1:1", "--addr", "127.0.0.1:2"], "--addr"),
        (&["check", "--timeout"], "--timeout"),
        (&["check", "--timeout", "0"], "--timeout"),
        (&["check", "--timeout", "-1"], "--timeout"),
        (&["check", "--timeout", "1e3"], "--timeout"),
        (&["check", "--timeout", "."], "--timeout"),
        (&["check", "--timeout", "86401"], "--timeout"),
        (
            &["check", "--timeout", "99999999999999999999999"],
            "--timeout",
        ),
        (&["check", "--ready", "--live"], "--live"),
        (&["check", "--scope", "a", "--scope", "b"], "--scope"),
        (&["check", "--scope", "a", "--startup"], "--startup"),
        (&["check", "--scope", "a b"], "a b"),
        (&["check", "--scope", ""], "at least one"),
        (&["check", "--exclude", "a/../b"], "a/../b"),
        (&["check", "--exclude"], "--exclude"),
        (&["check", "--ready=yes"], "--ready"),
        (&["check", "--wait"], "--wait"),
        (&["pause", "--ready", "--addr", "/x"], "pause"),
        (&["pause"], "unix socket"),
        (&["resume", "--addr", "127.0.0.1:1"], "unix socket"),
        (&["resume", "now", "--addr", "/x"], "now"),
        (&["drain", "now", "--addr", "/x"], "now"),
        (&["drain", "--wait", "--json", "--addr", "/x"], "drain"),
    ] {
        let (code, out, err) = outcome(&mut readiness(arguments));
        assert_eq!((code, &*out), (64, ""), "{arguments:?}");
        assert!(err.contains(says), "{arguments:?}: {err}");
        assert!(err.contains("--help"), "{err}");
    }
    let excludes = ["check", "--exclude=a"].iter().copied();
    let many: Vec<_> = excludes.chain(["--exclude=a"; 64]).collect();
    assert_eq!(outcome(&mut readiness(&many)).0, 64);
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["-h"], &["check", "--help"]] {
        let (code, out) = run(arguments);
        assert_eq!(code, 0);
        assert!(out.contains("readiness check [ADDR]"), "{out}");
    }
    let (code, out) = run(&["--version"]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("readiness {}\n", env!("CARGO_PKG_VERSION")));
}

// === what is printed ===

#[test]
fn the_output_has_a_bound() {
    let names: Vec<_> = (0..200)
        .map(|number| format!("subsystem-{number}"))
        .collect();
    let subsystems = names.iter().map(Subsystem::new);
    let builder = subsystems.fold(Readiness::builder(), |builder, subsystem| {
        builder.subsystem(subsystem)
    });
    let registry = builder.build().unwrap();
    let reporters: Vec<_> = names
        .iter()
        .map(|name| registry.reporter(name).unwrap())
        .collect();
    for reporter in &reporters {
        reporter.failing("é".repeat(512));
    }
    let server = registry.serve_on_thread(ANYWHERE).unwrap();
    let address = server.local_addr().to_string();
    for format in [
        &[][..],
        &["--verbose"],
        &["--json"],
        &["--exclude=subsystem-0"],
    ] {
        let (code, out) = run(&[&["check", &address, "--ready"], format].concat());
        assert_eq!(code, 1, "{format:?}");
        assert!(out.len() <= 4096 && out.ends_with('\n'), "{}", out.len());
        if format == ["--json"] {
            let json: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(json["ok"], false);
            assert_eq!(json["status"], "not ready");
        } else {
            assert!(out.starts_with("not ready: subsystem-"), "{out}");
            assert!(out.len() > 4000);
        }
    }
}

#[test]
fn the_output_is_safe_for_a_terminal() {
    let nasty = "\u{1b}[2J\u{1b}]0;x\u{7} \u{9b}31m \u{202e}back \u{7f}\rover";
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = [
        format!("HTTP/1.1 503 x\r\n\r\n[-]a failing: {nasty}\nnot ready: {nasty}\n"),
        format!(
            "HTTP/1.1 503 x\r\n\r\n{{\"probe\":\"readiness\",\"ok\":false,\"x\":\"{nasty}\"}}\n"
        ),
        format!(
            "HTTP/1.1 302 x\r\nlocation: {}\r\n\r\n",
            nasty.replace('\r', "")
        ),
        format!("HTTP/1.1 400 x\r\n\r\n{nasty}\n"),
    ];
    let thread = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for format in ["--verbose", "--json", "--verbose", "--verbose"] {
        let (code, out) = run(&["check", &address, "--ready", format]);
        assert_eq!(code, 1);
        let shown = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(out.chars().all(shown), "{}", out.escape_debug());
        assert!(!out.is_empty());
    }
    thread.join().unwrap();
}

// === commands ===

#[cfg(unix)]
mod commands {
    use super::{folder::Folder, *};
    use std::{
        fs::{self, Permissions, metadata, set_permissions},
        io::{ErrorKind, Read},
        os::unix::{
            fs::{MetadataExt, PermissionsExt, chown},
            net::UnixStream,
            process::CommandExt,
        },
        path::Path,
        process::Child,
        time::Duration,
    };
    use tower_readiness::{
        Phase,
        client::{CommandError, Commands},
        server::{AdminListener, ServeError},
    };

    /// A process that listens in a folder of its own, and where.
    fn commanded() -> (Folder, Process, AdminServer, String) {
        let folder = Folder::new();
        set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
        let process = Process::ready();
        let server = process.readiness.serve_on_thread(folder.socket()).unwrap();
        let path = folder.socket().to_str().unwrap().to_owned();
        (folder, process, server, path)
    }

    fn at(path: &str, arguments: &[&str]) -> (i32, String) {
        run(&[arguments, &["--addr", path]].concat())
    }

    #[test]
    fn a_pause_turns_readiness_red_until_it_is_taken_back() {
        let (_folder, process, _server, path) = commanded();
        assert_eq!(
            at(&path, &["pause", "disk is full"]),
            (0, "paused\n".into())
        );
        let line = "not ready: paused (disk is full)\n";
        assert_eq!(run(&["check", &path, "--ready"]), (1, line.into()));
        assert_eq!(run(&["check", &path]).0, 0);
        // The newer reason counts, and one end ends it.
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
        let (_folder, process, _server, path) = commanded();
        let commands = Commands::new(&path);
        commands.pause("first").unwrap();
        let before = process.readiness.snapshot().version();
        commands.pause("second").unwrap();
        let snapshot = process.readiness.snapshot();
        assert_eq!(snapshot.paused(), Some("second"));
        // That the first went changed nothing any more.
        assert_eq!(snapshot.version(), before + 1);
    }

    #[test]
    fn a_pause_ends_with_the_listener() {
        let (_folder, process, server, path) = commanded();
        assert_eq!(at(&path, &["pause", "x"]).0, 0);
        assert!(process.readiness.snapshot().paused().is_some());
        server.stop();
        ended(&server);
        assert_eq!(process.readiness.snapshot().paused(), None);
    }

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

    #[test]
    fn the_socket_is_the_owners_alone_whatever_the_umask() {
        let (_folder, _process, _server, path) = commanded();
        let mode = |path: &str| metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        for wanted in [0o660, 0o666, 0o777, 0o600] {
            let (folder, process, server, _) = commanded();
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

    /// Every command is refused for this reason, and nothing comes of it.
    fn refused(path: &str, process: &Process, reason: &str) {
        for command in ["pause", "resume", "drain"] {
            let (code, out) = at(path, &[command]);
            assert_eq!(code, 1, "{out}");
            assert!(out.contains(reason), "{out}");
        }
        let verdict = process.readiness.verdict();
        assert!(verdict.is_ready() && verdict.phase() == Phase::Started);
        // Probes are answered all the same.
        assert_eq!(run(&["check", path]).0, 0);
    }

    #[test]
    fn a_socket_that_others_can_open_takes_no_commands() {
        let (_folder, process, _server, path) = commanded();
        for mode in [0o620, 0o602, 0o666, 0o640, 0o610] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            refused(&path, &process, "others may open the socket");
        }
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(at(&path, &["pause"]).0, 0);
    }

    #[test]
    fn a_folder_in_which_others_can_replace_the_socket_takes_no_commands() {
        let (folder, process, _server, path) = commanded();
        for mode in [0o777, 0o775, 0o757] {
            set_permissions(&folder.0, Permissions::from_mode(mode)).unwrap();
            refused(&path, &process, "others may replace the socket");
        }
        // Whose it is may replace it too; only root can give it away.
        set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
        if metadata(&path).unwrap().uid() == 0 {
            chown(&folder.0, Some(65_534), None).unwrap();
            refused(&path, &process, "others may replace the socket");
            chown(&folder.0, Some(0), None).unwrap();
        }
        // As /tmp is.
        set_permissions(&folder.0, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(at(&path, &["pause"]).0, 0);
    }

    #[test]
    fn a_socket_that_was_moved_takes_no_commands() {
        let (folder, process, _server, path) = commanded();
        let moved = folder.0.join("moved");
        fs::rename(path, &moved).unwrap();
        refused(moved.to_str().unwrap(), &process, "no longer there");
        // It may be about to end, which who waits for a drain has to know.
        let request = post("/commands/drain", "content-length: 0\r\n\r\n");
        let answer = raw(UnixStream::connect(&moved).unwrap(), &request);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }

    #[test]
    fn a_listener_that_was_told_so_takes_no_commands() {
        let folder = Folder::new();
        let process = Process::ready();
        let listener = AdminListener::new(&process.readiness).without_commands();
        let _server = listener.serve_on_thread(folder.socket()).unwrap();
        let path = folder.socket();
        refused(path.to_str().unwrap(), &process, "takes no commands (404)");
        let error = Commands::new(path).drain().unwrap_err();
        assert!(matches!(error, CommandError::NotTaken { status: 404, .. }));
    }

    #[test]
    fn other_users_command_nothing() {
        // Only root can become somebody else.
        let (folder, process, _server, path) = commanded();
        if metadata(&path).unwrap().uid() != 0 {
            return;
        }
        let binary = folder.0.join("readiness");
        fs::copy(env!("CARGO_BIN_EXE_readiness"), &binary).unwrap();
        let nobody = |arguments: &[&str]| {
            let mut command = Command::new(&binary);
            command.args(arguments).args(["--addr", &path]);
            command.uid(65_534).gid(65_534);
            // What another test starts at this moment may hold the file open
            // for writing.
            while matches!(command.output(), Err(error) if error.kind() == ErrorKind::ExecutableFileBusy)
            {
            }
            let (code, out, _) = outcome(&mut command);
            (code, out)
        };
        let (code, out) = nobody(&["pause"]);
        assert_eq!(code, 1);
        assert!(out.contains("Permission denied"), "{out}");
        assert_eq!(nobody(&["check"]).0, 1);

        // Opened for them, it answers them, and does not obey.
        set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(nobody(&["check"]).0, 0);
        let (code, out) = nobody(&["pause"]);
        assert_eq!(code, 1);
        assert!(out.contains("only the owner"), "{out}");
        assert!(process.readiness.verdict().is_ready());
    }

    // === by hand ===

    fn raw(mut stream: impl Read + Write, request: &str) -> String {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn post(path: &str, more: &str) -> String {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}")
    }

    #[test]
    fn nothing_is_commanded_over_tcp() {
        let process = Process::ready();
        let (server, _) = serve(&process);
        let address = server.local_addr().socket_addr().unwrap();
        for command in ["pause", "resume", "drain", "drain?wait"] {
            let request = post(&format!("/commands/{command}"), "content-length: 0\r\n\r\n");
            let answer = raw(std::net::TcpStream::connect(address).unwrap(), &request);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
        let verdict = process.readiness.verdict();
        assert!(verdict.is_ready() && verdict.phase() == Phase::Started);
    }

    #[test]
    fn what_is_not_posted_commands_nothing() {
        let (_folder, process, _server, path) = commanded();
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            for command in ["pause", "resume", "drain"] {
                let request = format!(
                    "{method} /commands/{command} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                );
                let answer = raw(UnixStream::connect(&path).unwrap(), &request);
                assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
                assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
            }
        }
        let unknown = post("/commands/reboot", "content-length: 0\r\n\r\n");
        let answer = raw(UnixStream::connect(&path).unwrap(), &unknown);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(process.readiness.verdict().is_ready());
    }

    #[test]
    fn a_reason_that_is_too_long_or_does_not_arrive_pauses_nothing() {
        let (folder, process, server, path) = commanded();
        let long = "x".repeat(5000);
        let request = post(
            "/commands/pause",
            &format!("content-length: 5000\r\n\r\n{long}"),
        );
        let answer = raw(UnixStream::connect(&path).unwrap(), &request);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(process.readiness.verdict().is_ready());

        server.stop();
        ended(&server);
        let listener =
            AdminListener::new(&process.readiness).header_timeout(Duration::from_millis(50));
        let _server = listener.serve_on_thread(folder.socket()).unwrap();
        let request = post("/commands/pause", "content-length: 5\r\n\r\nabc");
        let answer = raw(UnixStream::connect(&path).unwrap(), &request);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(process.readiness.verdict().is_ready());
    }

    /// Waits until it has ended.
    fn ended(server: &AdminServer) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(server.stopped());
    }

    #[test]
    fn an_address_that_is_no_socket_is_told() {
        let folder = Folder::new();
        let file = folder.0.join("file");
        fs::write(&file, "").unwrap();
        let (code, out) = at(path_of(&file), &["drain"]);
        assert_eq!(code, 1);
        assert!(out.contains("something else than a socket"), "{out}");
    }

    fn path_of(path: &Path) -> &str {
        path.to_str().unwrap()
    }
}
