//! The log of the stack. In a process of its own, because a
//! subscriber of one thread may miss an event that another thread reaches first.

#[path = "../src/app.rs"]
mod app;
mod support;

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use std::{
    io,
    sync::{Arc, Mutex},
};
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
    /// The lines about requests since the last call, without those of the crate.
    fn take(&self) -> Vec<String> {
        let log = std::mem::take(&mut *self.0.lock().unwrap());
        let log = String::from_utf8(log).unwrap();
        let lines = log.lines().filter(|line| line.contains("request{"));
        let lines = lines.filter(|line| !line.contains("tower_readiness"));
        lines.map(ToOwned::to_owned).collect()
    }
}

#[tokio::test]
async fn only_answers_of_the_application_are_logged_and_only_its_failures_as_errors() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("info")
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (readiness, app) = support::starting();
    for path in ["/", "/readyz", "/startupz", "/livez"] {
        get(&app, path).await;
        assert_eq!(log.take(), [""; 0], "{path}");
    }

    support::become_ready(&readiness);
    assert_eq!(get(&app, "/").await, StatusCode::OK);
    let [answered] = &log.take()[..] else {
        panic!("it is not traced");
    };
    assert!(answered.contains("INFO"), "{answered}");
    assert!(answered.contains("status=200"), "{answered}");
    let id = answered.split_once("id=\"").map(|(_, id)| &id[..36]);
    assert!(id.is_some(), "{answered}");

    assert_eq!(get(&app, "/panic").await, StatusCode::INTERNAL_SERVER_ERROR);
    let lines = log.take();
    let errors = lines.iter().filter(|line| line.contains("ERROR"));
    let failures = errors.filter(|line| line.contains("on_failure"));
    assert_eq!(failures.count(), 1, "{lines:?}");
}
