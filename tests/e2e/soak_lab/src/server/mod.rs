//! The server: a process with subsystems, which disturbs itself when it is told to.

mod app;
mod disturbances;
mod explain;
mod faults;
mod findings;
mod listeners;
mod replicas;
mod subscribers;
mod subsystems;
mod version_log;

use crate::{ALLOCATOR, Error, measure::Measure, options::Fault};
use disturbances::Disturbances;
use explain::Explainer;
use findings::Findings;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};
use subsystems::Switches;
use tokio::{
    net::TcpListener,
    runtime,
    sync::{mpsc, oneshot},
};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reason, Reporter, drain,
    gate::{DirectGate, GateCounts, Hold},
    server::AdminListener,
};

/// The state that the parts of the server share.
pub(crate) struct Process {
    pub(crate) readiness: Readiness,
    /// Of the layer of the whole process, and of that of the scope.
    counts: [GateCounts; 2],
    /// The gate of the whole process.
    pub(crate) gate: DirectGate,
    pub(crate) explainer: Explainer,
    pub(crate) findings: Findings,
    /// Whether the disturbances have to end.
    pub(crate) ends: AtomicBool,
    pub(crate) reporters: Mutex<HashMap<&'static str, Reporter>>,
    pub(crate) switches: Arc<Switches>,
    pub(crate) numbers: Mutex<HashMap<&'static str, u64>>,
}

impl Process {
    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Counts an event. The figures at the end have the counts.
    pub(crate) fn count(&self, name: &'static str) {
        let mut numbers = self.numbers.lock().unwrap();
        *numbers.entry(name).or_default() += 1;
    }

    fn measure(&self) -> Result<Measure, Error> {
        let heap = ALLOCATOR.stats();
        let waiting = self.counts.iter().map(|counts| {
            let waiting = Reason::ALL.iter().map(|&reason| counts.waiting(reason));
            waiting.sum::<usize>()
        });
        Ok(Measure {
            tasks: runtime::Handle::current().metrics().num_alive_tasks(),
            waiting: waiting.sum(),
            in_flight: self.readiness.in_flight().ok_or("no layer counts")?,
            // Without that of this directory.
            descriptors: fs::read_dir("/proc/self/fd")?.count() - 1,
            heap: heap.bytes_allocated - heap.bytes_deallocated,
        })
    }
}

/// Serves until the input ends.
pub(crate) fn serve(fault: Option<Fault>) -> Result<(), Error> {
    // Also while it is frozen, where the end of the input would not reach it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (lines, commands) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(run(commands, fault));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run(
    mut commands: mpsc::UnboundedReceiver<String>,
    fault: Option<Fault>,
) -> Result<(), Error> {
    let (readiness, reporters, switches) = subsystems::build()?;
    // Shorter than some outages, and with less room than clients.
    let hold = Hold::builder(Duration::from_millis(300))
        .max_waiting(12)
        .release(2);
    let hold = Action::Hold(hold.build()?);
    let whole = ReadinessLayer::new(&readiness)
        .when_failing(hold.clone())
        .when_paused(hold.clone())
        .count_in_flight()
        .observe_outcomes();
    let scope = ReadinessLayer::gate(readiness.scope("search")?).when_failing(hold);
    let process = Arc::new(Process {
        counts: [whole.counts(), scope.counts()],
        gate: whole.direct(),
        explainer: Explainer::new(&readiness),
        findings: Findings::default(),
        ends: AtomicBool::new(true),
        reporters: Mutex::new(reporters),
        switches,
        numbers: Mutex::default(),
        readiness: readiness.clone(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let admin = AdminListener::new(&readiness).events().metrics();
    let admin = admin.serve("127.0.0.1:0").await?;
    let address = admin.local_addr().socket_addr();
    let address = address.ok_or("the admin listener has no address")?;
    println!("{} {address}", listener.local_addr()?);
    let app = app::router(&process, whole, scope);
    let (drains, drain) = oneshot::channel::<()>();
    let shutdown = readiness
        .shutdown()
        .on(async {
            // An error, too, tells that the commands have ended.
            let _ = drain.await;
        })
        .delay(Duration::from_millis(200))
        .closing_cap(Duration::from_secs(5))
        .build()?;
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    let running = readiness.clone();
    let server = tokio::spawn(async move { running.run(server).await });

    let mut disturbances = None;
    while let Some(command) = commands.recv().await {
        let answer = match &*command {
            "warm up" | "run" | "break" => {
                let fault = fault.filter(|_| command == "break");
                disturbances = Some(Disturbances::start(&process, fault));
                if let Some(fault) = fault {
                    faults::inject(&process, fault)?;
                }
                "disturbed".to_owned()
            }
            "calm" => {
                if let Some(disturbances) = disturbances.take() {
                    Disturbances::end(disturbances, &process).await;
                }
                process.readiness.snapshot().version().to_string()
            }
            "wall clock" => {
                let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                time.as_secs().to_string()
            }
            "measure" => process.measure()?.to_string(),
            "counts" => process.figures(),
            "findings" => process.findings.count().to_string(),
            _ => return Err(format!("there is no command {command}").into()),
        };
        println!("{answer}");
    }
    drop(drains);
    server.await???;
    Ok(())
}

impl Process {
    /// The counts of the events.
    fn figures(&self) -> String {
        let numbers = self.numbers.lock().unwrap();
        let mut numbers: Vec<_> = numbers.iter().collect();
        numbers.sort();
        let explained = self.explainer.explained.load(Ordering::Relaxed);
        let version = self.readiness.snapshot().version();
        let mut text = format!("versions: {version}, refusals explained: {explained}");
        for (name, number) in numbers {
            text += &format!(", {name}: {number}");
        }
        text
    }
}
