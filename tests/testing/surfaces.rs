//! Every surface marks a simulated state.

use super::ready;
use tower_readiness::State;

#[test]
fn the_history_marks_a_simulated_state() {
    let (readiness, _storage) = ready();
    let _outage = readiness
        .simulate("storage", State::Dead, "a test")
        .unwrap();
    let history = readiness.history();
    let last = history
        .iter()
        .rfind(|it| it.kind().name() == Some("storage"));
    assert_eq!(last.unwrap().reason(), Some("simulated: a test"));
}

#[cfg(feature = "gate")]
#[test]
fn probes_mark_a_simulated_state_in_every_level_of_detail_that_has_names() {
    use futures_util::FutureExt;
    use http::{Request, header::ACCEPT};
    use http_body_util::{BodyExt, Empty};
    use tower::ServiceExt;
    use tower_readiness::probe::{Detail, Probes};

    let (readiness, _storage) = ready();
    let get = |detail, path: &str, accept: &str| {
        let probes = Probes::builder(&readiness).detail(detail).build().unwrap();
        let request = Request::get(path).header(ACCEPT, accept);
        let request = request.body(Empty::<&[u8]>::new()).unwrap();
        let response = probes.oneshot(request).now_or_never().unwrap().unwrap();
        let body = response.into_body().collect().now_or_never().unwrap();
        String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
    };
    let json = get(Detail::Full, "/statusz", "application/json");
    assert!(!json.contains("simulated"), "{json}");
    let _outage = readiness
        .simulate("storage", State::Dead, "a test")
        .unwrap();

    let text = |detail, path| get(detail, path, "text/plain");
    let verbose = text(Detail::Full, "/readyz?verbose");
    let line = "[-]storage dead (required, vital, simulated) for 0ms: simulated: a test\n";
    let line = line.split_once("0ms").unwrap();
    assert!(
        verbose.starts_with(line.0) && verbose.contains(line.1),
        "{verbose}"
    );
    assert_eq!(
        text(Detail::Full, "/livez"),
        "not live: storage dead (simulated: a test)\n"
    );
    let verbose = text(Detail::Names, "/readyz?verbose");
    assert!(
        verbose.starts_with("[-]storage dead (required, vital, simulated)\n"),
        "{verbose}"
    );
    assert_eq!(
        text(Detail::Names, "/livez"),
        "not live: storage dead (simulated)\n"
    );
    for detail in [Detail::Names, Detail::Full] {
        let json = get(detail, "/statusz", "application/json");
        let marked = r#""state":"dead","simulated":true"#;
        assert_eq!(json.matches(marked).count(), 1, "{json}");
        assert_eq!(
            json.contains(r#""reason":"simulated: a test""#),
            detail == Detail::Full
        );
    }
}

#[cfg(feature = "tracing")]
#[test]
fn log_lines_mark_a_simulated_state() {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let (readiness, _storage) = ready();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let text = tracing::subscriber::with_default(subscriber.finish(), || {
        let _outage = readiness.simulate("storage", State::Failing, "a test");
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    });
    for line in [
        r#"reason="simulated: a test""#,
        "causes=storage (simulated: a test)",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[cfg(all(unix, feature = "systemd"))]
#[tokio::test(start_paused = true)]
async fn systemd_sees_the_mark_of_a_simulated_state() {
    use crate::folder::Folder;
    use std::os::unix::net::UnixDatagram;
    use tokio::task::yield_now;
    use tower_readiness::notify::systemd::SystemdOptions;

    let (readiness, _storage) = ready();
    let folder = Folder::new();
    let path = folder.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let options = SystemdOptions::default().socket(path);
    readiness.notify_systemd_with(options).unwrap();
    let _outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    for _ in 0..16 {
        yield_now().await;
    }
    let mut message = [0; 4_096];
    let mut text = String::new();
    while let Ok(bytes) = socket.recv(&mut message) {
        text += std::str::from_utf8(&message[..bytes]).unwrap();
    }
    let status = "STATUS=not ready: storage (simulated: a test)";
    assert!(text.contains(status), "{status} is not in {text}");
}
