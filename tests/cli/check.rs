use crate::{
    ANYWHERE, outcome, readiness,
    rows::{Process, Row, rows, silent_port},
    run, serve,
};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};
use tower_readiness::{Readiness, Subsystem, client::Address};

#[test]
fn exit_codes_follow_the_truth_table() {
    for (name, process, expected) in rows() {
        let (_server, address) = serve(&process);
        let exits_with_0 = |options: &[&str]| {
            let (code, out) = run(&[&["check", &address], options].concat());
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
fn the_output_names_subsystems_and_reasons() {
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
fn excluded_subsystems_do_not_count() {
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
fn unknown_names_are_errors_that_list_them() {
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
    // An empty value counts as unset.
    let default = Address::default().to_string();
    assert!(with("", &["check"]).1.contains(&default));
}

#[test]
fn a_process_without_an_answer_is_unhealthy_in_one_line() {
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

// === the output ===

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
            "HTTP/1.1 503 x\r\n\r\n{}\n",
            json!({"probe": "readiness", "ok": false, "status": "not ready", "x": nasty})
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
        assert!(out.contains("back"), "{out}");
    }
    thread.join().unwrap();
}
