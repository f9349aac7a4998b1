//! The functions that the fuzz targets in `fuzz/` call with arbitrary bytes. A unit test
//! calls them with the kept corpus and with random bytes.
//!
//! No build of an application compiles them: each `expect` is an assertion of a test.
//! Each function panics if the crate answers hostile input in a way that it promises not
//! to.

use crate::{
    Readiness, State, Subsystem,
    address::Address,
    notify::systemd,
    probe::{Detail, Probes},
    state::text::OneLine,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use std::{
    future::Future,
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};
use tokio::runtime::Runtime;
use tower_service::Service;

pub use crate::client::fuzz::{answer, events};
pub use crate::observe::events::last_event_id;

/// The name of a target, which is also that of its corpus, and its function.
type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: &[Target] = &[
    ("probe", probe),
    ("answer", answer),
    ("reason", reason),
    ("events", events),
    ("last_event_id", last_event_id),
    ("address", address),
];

/// `?wait` needs a timer.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
});

fn process() -> Readiness {
    // Frees the tasks of the process before, for nothing else drives the runtime.
    RUNTIME.block_on(tokio::task::yield_now());
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("[::1]:80").shared())
        .scope("search", ["[::1]:80"])
        .build();
    readiness.expect("the names are valid")
}

/// The answer of the probes, or `None` if it waits.
fn ask(
    probes: &mut Probes,
    request: Request<Empty<&'static [u8]>>,
) -> Option<(StatusCode, HeaderMap, String)> {
    let _timer = RUNTIME.enter();
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(response) = pin!(probes.call(request)).poll(&mut context) else {
        return None;
    };
    let (head, body) = response.expect("the error is Infallible").into_parts();
    let Poll::Ready(body) = pin!(body.collect()).poll(&mut context) else {
        panic!("the body of a probe is whole");
    };
    let body = body.expect("the error is Infallible").to_bytes();
    let body = String::from_utf8(body.into()).expect("each format is UTF-8");
    Some((head.status, head.headers, body))
}

/// A request to a probe: the method, the target, `accept` and `host`, a line each.
pub fn probe(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let mut request = Request::builder().method(line()).uri(line());
    for name in [header::ACCEPT, header::HOST] {
        if let Ok(value) = HeaderValue::from_bytes(line()) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Empty::new()) else {
        return;
    };
    let is_head = request.method() == Method::HEAD;
    let readiness = process();
    for detail in [Detail::None, Detail::Names, Detail::Full] {
        let probes = Probes::builder(&readiness).detail(detail).build();
        let mut probes = probes.expect("the default paths are valid");
        let Some((status, headers, body)) = ask(&mut probes, request.clone()) else {
            assert!(
                detail != Detail::None,
                "a probe without details never waits"
            );
            continue;
        };
        let expected = [200, 400, 404, 405, 503];
        assert!(expected.contains(&status.as_u16()), "{status}");
        assert!(body.len() < 16 << 10, "{} bytes", body.len());
        if is_head {
            assert_eq!(body, "", "an answer to HEAD has no body");
        } else if headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|it| it == "application/json")
        {
            let _: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        } else {
            assert!(body.lines().all(|line| OneLine(line).to_string() == line));
        }
    }
}

/// The text of a report and of a pause, as each format shows it.
pub fn reason(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let readiness = process();
    let reporter = readiness.reporter("storage").expect("it is declared");
    reporter.ready();
    reporter.failing(&text);
    // Only the key can be invalid.
    let _ = reporter.attribute("key", &text);
    let _paused = readiness.pause(&text);
    let snapshot = readiness.snapshot();
    let status = systemd::status_text(&snapshot);
    assert!(
        status.len() <= 480 && OneLine(&status).to_string() == status,
        "{status:?}"
    );

    let probes = Probes::builder(&readiness).detail(Detail::Full).build();
    let mut probes = probes.expect("the default paths are valid");
    let mut get = |accept: &str| {
        let request = Request::get("/statusz?verbose").header(header::ACCEPT, accept);
        let request = request.body(Empty::new()).expect("the request is valid");
        ask(&mut probes, request).expect("it does not wait").2
    };
    let lines = get("text/plain");
    assert!(lines.lines().all(|line| OneLine(line).to_string() == line));
    let storage = lines.lines().filter(|line| line.starts_with("[-]storage"));
    assert_eq!(storage.count(), 1, "no reason begins a line of its own");
    let json: serde_json::Value = serde_json::from_str(&get("application/json")).expect("JSON");
    let reason = json["subsystems"][0]["reason"].as_str().unwrap_or_default();
    assert!(text.starts_with(reason) && reason.len() + 4 > text.len().min(1024));
    assert_eq!(
        snapshot
            .subsystem("storage")
            .map(crate::SubsystemView::state),
        Some(State::Failing)
    );
}

/// The address of a listener.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<Address>() {
        Ok(address) => assert_eq!(address.to_string().parse().as_ref(), Ok(&address)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use proptest::{
        prelude::*,
        test_runner::{Config, TestRunner},
    };
    use std::{fs, path::Path};

    /// The kept inputs of a target, and one that has the parts of two.
    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz_corpus")
            .join(name);
        let files = fs::read_dir(folder).unwrap();
        let inputs: Vec<_> = files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs
    }

    /// An input of the corpus in which a range of bytes is replaced.
    fn mutated(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
        let replacement = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..16),
            proptest::sample::select(corpus.clone()),
        ];
        let from = (
            proptest::sample::select(corpus),
            any::<prop::sample::Index>(),
            0..32usize,
            replacement,
        );
        from.prop_map(|(mut input, at, length, with)| {
            let begin = at.index(input.len() + 1);
            let end = (begin + length).min(input.len());
            input.splice(begin..end, with);
            input
        })
    }

    #[test]
    fn kept_and_random_inputs_keep_every_promise() {
        for (name, run) in TARGETS {
            let corpus = corpus(name);
            corpus.iter().for_each(|input| run(input));
            let outcome = TestRunner::new(Config::default()).run(&mutated(corpus), |input| {
                run(&input);
                Ok(())
            });
            outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
