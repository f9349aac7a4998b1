//! The protected service: a small upstream, and the task that watches it.

use crate::backend::Backend;
use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri},
    routing::get,
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{interval, sleep, timeout},
};
use tower_readiness::Reporter;

/// Reports twice a second whether the upstream accepts connections. It does not look
/// at responses, so an upstream that answers 500 shows as drift.
pub(crate) async fn watch(upstream: SocketAddr, reporter: Reporter) {
    let period = Duration::from_millis(500);
    let mut ticks = interval(period);
    loop {
        ticks.tick().await;
        match timeout(period, TcpStream::connect(upstream)).await {
            Ok(Ok(_)) => reporter.ready(),
            Ok(Err(error)) => reporter.failing(error.to_string()),
            Err(_) => reporter.failing("does not accept connections in time"),
        }
    }
}

pub(crate) struct Upstream {
    backend: Backend,
    broken: Arc<AtomicBool>,
}

impl Upstream {
    pub(crate) async fn start() -> io::Result<Self> {
        let broken = Arc::new(AtomicBool::new(false));
        let answer = {
            let broken = Arc::clone(&broken);
            async move |headers: HeaderMap, uri: Uri| {
                if broken.load(Ordering::Relaxed) {
                    return Err(StatusCode::INTERNAL_SERVER_ERROR);
                }
                let user = headers.get("x-user").and_then(|user| user.to_str().ok());
                let user = user.unwrap_or("nobody");
                Ok(format!("the upstream was asked for {uri} by {user}\n"))
            }
        };
        let app = Router::new().route("/slow", get(slow)).fallback(answer);
        Ok(Self {
            backend: Backend::start(app).await?,
            broken,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    pub(crate) async fn stop(&self) {
        self.backend.stop().await;
    }

    pub(crate) async fn start_again(&self) -> io::Result<()> {
        self.backend.start_again().await
    }

    /// Lets it answer 500, or well again.
    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(8)).await;
    "that took a while\n"
}
