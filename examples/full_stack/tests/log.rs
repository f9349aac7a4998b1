//! The log of the stack. In a process of its own, because a
//! subscriber of one thread may miss an event that another thread reaches first.

#[path = "../src/app.rs"]
mod app;
#[path = "../../../tests/support/mod.rs"]
mod support;

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use std::{
    io,
    sync::{Arc, Mutex},
};
use support::starting;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

async fn get(app: &Router, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

/// The logged lines, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The lines of tower-http at this level since the last call.
    fn take(&self, level: &str) -> Vec<String> {
        let log = std::mem::take(&mut *self.0.lock().unwrap());
        let log = String::from_utf8(log).unwrap();
        let lines = log.lines().filter(|line| line.contains("tower_http"));
        let lines = lines.filter(|line| line.contains(level));
        lines.map(ToOwned::to_owned).collect()
    }
}

#[tokio::test]
async fn only_failures_of_the_application_are_logged_as_errors() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("info,tower_http=debug")
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (readiness, storage) = starting();
    let app = app::app(&readiness);
    for path in ["/", "/readyz", "/startupz"] {
        assert_eq!(get(&app, path).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(log.take("ERROR"), [""; 0], "{path}");
    }
    get(&app, "/").await;
    let [_started, finished] = &log.take("DEBUG")[..] else {
        panic!("it is not traced");
    };
    assert!(finished.contains("status=503"), "{finished}");
    let id = |line: &str| line.split_once("id=\"").map(|(_, id)| id[..36].to_owned());
    assert!(id(finished).is_some(), "{finished}");

    storage.ready();
    assert_eq!(get(&app, "/panic").await, StatusCode::INTERNAL_SERVER_ERROR);
    let errors = log.take("ERROR");
    let failures = errors.iter().filter(|line| line.contains("on_failure"));
    assert_eq!(failures.count(), 1, "{errors:?}");
}
