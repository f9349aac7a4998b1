//! How long a blocked log delays a report and the end of [`Readiness::run`]. The clock
//! gives lower bounds only, because a machine may be slow; that both continue is shown
//! by their end.

mod support;

use std::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};
use support::ready;
use tower_readiness::Readiness;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// Holds each line until the test ends.
struct Holds(Mutex<mpsc::Receiver<()>>);

impl<S: Subscriber> Layer<S> for Holds {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        let _ = self.0.lock().unwrap().recv();
    }
}

async fn run(readiness: &Readiness) -> Duration {
    let begun = Instant::now();
    readiness.run(async {}).await.unwrap();
    begun.elapsed()
}

/// One test, because the process has one log.
#[tokio::test]
async fn a_report_waits_for_its_line_and_the_end_for_all() {
    let (_allow, allowed) = mpsc::channel();
    let (readiness, storage) = ready();
    let held = Registry::default().with(Holds(Mutex::new(allowed)));
    let _logs = tracing::subscriber::set_default(held);

    let begun = Instant::now();
    storage.failing("gone");
    assert!(begun.elapsed() >= Duration::from_millis(10));

    let most = Duration::from_millis(100);
    assert!(
        run(&readiness).await >= most,
        "a server that ends by itself"
    );
    readiness.drain();
    assert!(run(&readiness).await >= most, "a process that is closed");
}
