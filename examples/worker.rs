//! A consumer of a queue, whose gate admits jobs instead of requests: it takes no job while
//! storage is down, and a drain finishes the jobs that are in flight.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --example worker
//! PORT=8080 cargo run --example worker
//! ```

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use std::{
    env,
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    time::sleep,
};
use tower_readiness::{
    Readiness, ReadinessLayer, Reporter, Subsystem,
    gate::{Admitted, DirectGate},
    probe::{Detail, Probes},
};

/// The number of a job.
type Job = usize;

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()?;
    let (sender, receiver) = channel(1_000);
    let demo = Demo {
        readiness: readiness.clone(),
        storage: Arc::new(readiness.reporter("storage")?),
        queue: sender,
        done: Arc::default(),
    };

    // The process serves no traffic, so its port has the probes alone.
    let probes = Probes::builder(&readiness).detail(Detail::Full).build()?;
    let operators = Router::new()
        .route("/", get(show))
        .route("/demo/jobs/{count}", post(enqueue))
        .route("/demo/storage/{state}", post(flip))
        .with_state(demo.clone())
        .fallback_service(probes);
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // No load balancer has to notice that a consumer ends.
    let shutdown = readiness.drain_on_signal(Duration::from_millis(1))?;
    print_walk_through(listener.local_addr()?);
    // In a task of its own, so that it answers until the process ends.
    tokio::spawn(axum::serve(listener, operators).into_future());

    let gate = ReadinessLayer::gate(&readiness).count_in_flight().direct();
    let consumer = tokio::spawn(consume(receiver, gate, demo.clone()));
    // Ends when the last job that is in flight has ended.
    readiness.run(shutdown).await?;
    consumer.await?;
    println!("Drained: {} done.", demo.done.load(Ordering::Relaxed));
    Ok(())
}

/// Takes jobs until the process drains.
async fn consume(mut queue: Receiver<Job>, gate: DirectGate, demo: Demo) {
    // A job that was taken before storage failed.
    let mut next: Option<Job> = None;
    while demo.readiness.wait_ready().await.is_ok() {
        if next.is_none() {
            next = tokio::select! {
                received = queue.recv() => received,
                () = demo.readiness.draining() => break,
            };
        }
        let Ok(admitted) = gate.try_admit() else {
            continue;
        };
        match next.take() {
            Some(job) => drop(tokio::spawn(work(job, admitted, demo.clone()))),
            None => break,
        }
    }
    let left = queue.len() + usize::from(next.is_some());
    println!("Takes no more jobs; {left} are left for the next process.");
}

/// One job, which is in flight as long as `admitted` lives.
async fn work(_job: Job, admitted: Admitted, demo: Demo) {
    sleep(Duration::from_secs(2)).await;
    demo.done.fetch_add(1, Ordering::Relaxed);
    admitted.succeeded();
}

// === the demo ===

#[derive(Clone)]
struct Demo {
    readiness: Readiness,
    storage: Arc<Reporter>,
    queue: Sender<Job>,
    done: Arc<AtomicUsize>,
}

async fn show(State(demo): State<Demo>) -> String {
    let waiting = demo.queue.max_capacity() - demo.queue.capacity();
    let in_flight = demo.readiness.in_flight().unwrap_or_default();
    let done = demo.done.load(Ordering::Relaxed);
    format!("{waiting} waiting, {in_flight} in flight, {done} done\n")
}

/// `POST /demo/jobs/{count}`
async fn enqueue(
    State(demo): State<Demo>,
    Path(count): Path<usize>,
) -> Result<String, (StatusCode, &'static str)> {
    for job in 0..count {
        demo.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "the queue is full\n"),
            TrySendError::Closed(_) => (StatusCode::SERVICE_UNAVAILABLE, "it takes no more\n"),
        })?;
    }
    Ok(format!("{count} jobs\n"))
}

/// `POST /demo/storage/{state}`
async fn flip(
    State(demo): State<Demo>,
    Path(state): Path<String>,
) -> Result<String, (StatusCode, &'static str)> {
    match state.as_str() {
        "ready" => demo.storage.ready(),
        "failing" => demo
            .storage
            .failing("/var/lib/demo: no space left on device"),
        _ => {
            return Err((
                StatusCode::BAD_REQUEST,
                "the states are ready and failing\n",
            ));
        }
    }
    Ok(format!("storage is {state}\n"))
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Probes and the queue on http://{address}.

Jobs wait while storage has not come up
  curl -X POST http://{address}/demo/jobs/5
  curl http://{address}/
  curl -i http://{address}/readyz

Storage comes up: the jobs are taken, and take 2 seconds each
  curl -X POST http://{address}/demo/storage/ready
  curl http://{address}/

It fails: what is in flight goes on, new jobs wait
  curl -X POST http://{address}/demo/jobs/5
  curl -X POST http://{address}/demo/storage/failing
  curl -X POST http://{address}/demo/jobs/3
  curl http://{address}/

End with ctrl-c while jobs are in flight: it finishes those, and takes no more."
    );
}
