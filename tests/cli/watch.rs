use crate::{outcome, readiness};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

/// What a stand-in of an admin listener answers to one connection after the other. The
/// last one gets 404, which ends the command.
fn answers(streams: &[&str]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let streams: Vec<String> = streams.iter().copied().map(str::to_owned).collect();
    let served = thread::spawn(move || {
        let none = "HTTP/1.1 404 Not Found\r\n\r\n".to_owned();
        let mut requests = Vec::new();
        for answer in streams.into_iter().chain([none]) {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            requests.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (address, served)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn events(events: &[(&str, &str)]) -> String {
    let event = |(kind, data): &(&str, &str)| format!("event: {kind}\nid: x.7\ndata: {data}\n\n");
    HEAD.to_owned() + &events.iter().map(event).collect::<String>()
}

const RED: &str = r#"{"probe":"status","ok":true,"status":"not ready","summary":"not ready: storage failing (gone)"}"#;
const TICK: &str = r#"{"time":784111777000,"version":7,"traffic":{"in_flight":null,"late_arrivals":0,"refused":{},"dry_run_refused":{}}}"#;
const GREEN: &str = r#"{"probe":"status","ok":true,"status":"ready","summary":"ready","history":[{"version":8,"kind":"subsystem","name":"storage","from":"failing","to":"ready","reason":"b\u001b[31mack\u009b\u202e","refused":3,"at_unix_ms":784111778000,"lasted_ms":9000}]}"#;

#[test]
fn without_a_terminal_each_change_is_a_line_and_a_lost_stream_is_followed_again() {
    let (address, served) = answers(&[
        // Of a proxy in front of the process.
        "HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n",
        &events(&[
            ("tick", TICK),
            ("state", RED),
            ("change", GREEN),
            ("later", "?"),
        ]),
        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
        &events(&[("tick", TICK), ("change", RED)]),
    ]);
    let (code, out, err) = outcome(&mut readiness(&["watch", &address]));
    assert_eq!(
        out,
        format!(
            "no news yet: {address} has no stream now (503): the process admits no more, or a \
             proxy in front of it does not reach it; it is asked again\n\
             08:49:37 not ready: storage failing (gone)\n\
             08:49:38 storage failing -> ready: b [31mack   (after 9s, 3 refused)\n\
             08:49:37 ready\n\
             no news since 08:49:37 UTC: {address} closed the connection before the end of its \
             answer\n\
             08:49:37 ready\n\
             08:49:37 not ready: storage failing (gone)\n\
             no news since 08:49:37 UTC: {address} closed the connection before the end of its \
             answer\n"
        )
    );
    assert_eq!(code, 1);
    assert_eq!(
        err,
        format!(
            "readiness: {address} has no event stream (404); is it an admin listener, of a process \
             with the feature `events`?\n"
        )
    );
    let requests = served.join().unwrap();
    assert!(requests[0].starts_with("GET /statusz/events HTTP/1.0\r\n"));
    let resumes = requests
        .iter()
        .map(|it| it.contains("last-event-id: x.7\r\n"));
    assert!(resumes.eq([false, false, true, true, true]), "{requests:?}");
}

#[test]
fn with_json_each_event_is_an_object_on_a_line() {
    let (address, _) = answers(&[&events(&[
        ("state", RED),
        ("tick", TICK),
        ("change", GREEN),
    ])]);
    let (code, out, _) = outcome(&mut readiness(&["watch", "--json", "--addr", &address]));
    assert_eq!(code, 1);
    let lines = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["state", "tick", "change", "lost", "lost"]);
    assert_eq!(
        lines[0]["data"]["summary"],
        "not ready: storage failing (gone)"
    );
    assert_eq!(lines[1]["data"]["version"], 7);
    assert_eq!(lines[2]["data"]["history"][0]["refused"], 3);
    for (line, why) in [(3, "closed the connection"), (4, "has no event stream")] {
        let error = lines[line]["error"].as_str().unwrap();
        assert!(error.contains(why), "{error}");
    }
    assert!(!out.contains(['\u{1b}', '\u{9b}', '\u{202e}']));
}

#[test]
fn a_server_that_answers_with_anything_but_events_ends_the_command() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-streams\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (address, _) = answers(&[&format!("{head}hello\n"), &events(&[("state", RED)])]);
        let (code, out, err) = outcome(&mut readiness(&["watch", &address]));
        assert_eq!((code, &*out), (1, ""), "{head}");
        assert!(err.contains("has no event stream (200)"), "{err}");
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream ; charset=utf-8\r\n\r\n";
    let (address, _) = answers(&[&events(&[("state", RED)]).replace(HEAD, head)]);
    let (_, out, _) = outcome(&mut readiness(&["watch", &address]));
    assert!(out.contains("not ready: storage failing (gone)"), "{out}");
}

#[test]
fn an_address_that_is_no_server_of_http_ends_the_command() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (answer, why) in [
        (
            "\u{15}\u{3}\u{1}",
            "is not HTTP/1; does the port expect TLS",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP/1"),
        (chunks, "has a transfer coding"),
    ] {
        let (address, _) = answers(&[answer, &events(&[("state", RED)])]);
        let (code, out, err) = outcome(&mut readiness(&["watch", &address]));
        assert_eq!((code, &*out), (1, ""), "{answer}");
        assert!(err.contains(why), "{err}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_no_socket_ends_the_command() {
    let no_socket = tempfile::NamedTempFile::new().unwrap();
    let path = no_socket.path().to_str().unwrap();
    let (code, out, err) = outcome(&mut readiness(&["watch", path]));
    assert_eq!((code, &*out), (1, ""), "{err}");
    assert!(
        err.contains("the file at this path is not a socket"),
        "{err}"
    );
}

#[test]
fn an_event_that_is_no_json_is_a_lost_stream() {
    let (address, _) = answers(&[&events(&[("state", "{")])]);
    let (_, out, _) = outcome(&mut readiness(&["watch", &address]));
    assert!(
        out.contains("sends events that this version of `readiness` cannot read"),
        "{out}"
    );
}

#[test]
fn a_line_without_end_is_a_lost_stream() {
    const MIB: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut child = readiness(&["watch", &address])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(HEAD.as_bytes()).unwrap();
    let piece = vec![b'x'; MIB];
    let sent = (0..256).take_while(|_| stream.write_all(&piece).is_ok());
    // The kernel holds some of what the command has not read.
    assert!((64..96).contains(&sent.count()));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("no news yet: "), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_command_ends_when_its_reader_does() {
    let (address, _) = answers(&[&events(&[("state", RED)]), &events(&[("state", GREEN)])]);
    let mut command = readiness(&["watch", &address]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
