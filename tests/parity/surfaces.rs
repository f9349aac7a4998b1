//! The surfaces, each of which answers columns of the truth table in its own way.

use crate::{
    events::Events,
    folder::Folder,
    history::{Column, DECLARED as LATE, PHASES, STATES, SUBSYSTEMS},
    page::Page,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use prometheus_client::{encoding::prometheus_text, registry::Registry};
use serde::Deserialize;
use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{self, File},
    mem::replace,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::ExitCode,
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer, State, SubsystemView,
    client::HealthCheck,
    notify::{
        grpc::GrpcHealth,
        systemd::{Systemd, SystemdOptions},
    },
    probe::{Detail, Probes},
    server::AdminServer,
};

pub type Verdicts = Vec<(Column, bool)>;

pub trait Surface {
    /// Answers as many columns as the surface shows.
    fn verdicts(&mut self) -> Verdicts;

    /// Reads the messages that the surface sends by itself. Called after each move of
    /// the clock.
    fn receive(&mut self) {}

    /// Whether the surface is too slow to answer after every step.
    fn is_slow(&self) -> bool {
        false
    }
}

/// Every surface, by name. This is the only place to add another. `turn` decides which
/// format of the probes, and whether gRPC, answers a question after the first step.
pub fn surfaces(readiness: &Readiness, turn: usize) -> Vec<(&'static str, Box<dyn Surface>)> {
    let probe = |accept, query, turn| Probe::new(readiness, accept, query, turn);
    let gate = |is_grpc| Gate::new(readiness, is_grpc);
    let services = Services {
        client: HealthClient::new(readiness.grpc_health()),
        turn,
    };
    let command = Command {
        readiness: readiness.clone(),
        admin: None,
    };
    vec![
        ("snapshot", Box::new(readiness.clone())),
        ("probe, text", Box::new(probe("text/plain", "", turn))),
        (
            "probe, verbose",
            Box::new(probe("text/plain", "?verbose", turn + 1)),
        ),
        (
            "probe, JSON",
            Box::new(probe("application/json", "", turn + 2)),
        ),
        ("gate", Box::new(gate(false))),
        ("gate, gRPC", Box::new(gate(true))),
        ("health check", Box::new(command)),
        ("gRPC", Box::new(services)),
        ("gRPC, watch", Box::new(Watches::new(readiness))),
        ("events", Box::new(Events::new(readiness, |_| {}))),
        ("page", Box::new(Page::new(readiness))),
        ("metrics", Box::new(Metrics::new(readiness))),
        ("systemd", Box::new(ServiceManager::new(readiness))),
        ("last words", Box::new(TerminationFile::new(readiness))),
    ]
}

/// The columns of a word of which exactly one is shown.
pub fn words<const N: usize>(
    column: fn(&'static str) -> Column,
    words: [&'static str; N],
    is: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (Column, bool)> {
    words.into_iter().map(move |word| (column(word), is(word)))
}

/// The columns of every third subsystem, from whether it is ready; `None` if it is
/// unknown. Each turn asks for others, and the probe formats never for the same.
fn subsystems(turn: &mut usize, mut ready: impl FnMut(&str) -> Option<bool>) -> Verdicts {
    *turn += 1;
    let mut verdicts = Vec::new();
    for (index, (name, ..)) in SUBSYSTEMS.iter().enumerate().skip(*turn % 3).step_by(3) {
        let ready = ready(name);
        verdicts.push((Column::Known(index), ready.is_some()));
        verdicts.extend(ready.map(|ready| (Column::SubsystemReady(index), ready)));
    }
    verdicts
}

pub const CONDITIONS: [&str; 4] = ["starting", "ready", "degraded", "failing"];

impl Surface for Readiness {
    fn verdicts(&mut self) -> Verdicts {
        let snapshot = self.snapshot();
        let (verdict, scope) = (snapshot.verdict(), snapshot.scope("scope").unwrap());
        let (condition, of_scope) = (verdict.condition(), scope.condition());
        let mut verdicts = vec![
            (Column::Started, verdict.has_started()),
            (Column::Live, verdict.is_live()),
            (Column::Healthy, verdict.is_healthy()),
            (Column::Ready, verdict.is_ready()),
            (Column::ScopeReady, scope.is_ready()),
        ];
        verdicts.extend(PHASES.map(|it| (Column::Since(it), snapshot.phase() >= it)));
        let is = |word: &str| condition.to_string() == word;
        verdicts.extend(words(Column::Condition, CONDITIONS, is));
        let is = |word: &str| of_scope.to_string() == word;
        verdicts.extend(words(Column::ScopeCondition, CONDITIONS, is));
        for (index, (name, ..)) in SUBSYSTEMS.iter().enumerate() {
            let view = snapshot.subsystem(name);
            let state = view.map(SubsystemView::state);
            verdicts.push((Column::Known(index), state.is_some()));
            let is_simulated = view.is_some_and(SubsystemView::is_simulated);
            verdicts.push((Column::Simulated(index), is_simulated));
            let states = STATES.into_iter().chain([State::Stale]);
            verdicts.extend(states.map(|it| (Column::State(index, it), state == Some(it))));
        }
        verdicts
    }
}

// === probes ===

struct Probe {
    readiness: Readiness,
    probes: Probes,
    accept: &'static str,
    query: &'static str,
    turn: usize,
}

/// The part of a JSON answer that every question has.
#[derive(Deserialize)]
struct Json {
    ok: bool,
    version: u64,
    status: String,
}

impl Probe {
    fn new(readiness: &Readiness, accept: &'static str, query: &'static str, turn: usize) -> Self {
        let probes = Probes::builder(readiness).detail(Detail::Names);
        Self {
            readiness: readiness.clone(),
            probes: probes.build().unwrap(),
            accept,
            query,
            turn,
        }
    }

    /// Returns the verdict of a path, or `None` if the process does not know it.
    fn ask(&self, path: &str) -> Option<bool> {
        let uri = format!("{path}{}", self.query);
        let request = Request::get(uri).header(header::ACCEPT, self.accept);
        let request = request.body(String::new()).unwrap();
        let response = self.probes.clone().oneshot(request).now_or_never();
        let (head, body) = response.unwrap().unwrap().into_parts();
        let is_ok = match head.status {
            StatusCode::OK => true,
            StatusCode::SERVICE_UNAVAILABLE => false,
            StatusCode::NOT_FOUND => return None,
            status => panic!("{path}: {status}"),
        };
        let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        let is_green = if self.accept == "application/json" {
            let json: Json = serde_json::from_str(body).unwrap();
            assert_eq!(json.ok, is_ok, "{path}: {body}");
            assert_eq!(json.version, self.readiness.snapshot().version());
            !json.status.starts_with("not ")
        } else {
            !body.lines().last().unwrap().starts_with("not ")
        };
        // The status page itself is always found; its word is that of readiness.
        assert!(is_green == is_ok || path == "/statusz", "{path}: {body}");
        Some(is_green)
    }
}

impl Surface for Probe {
    fn verdicts(&mut self) -> Verdicts {
        let paths = [
            ("/startupz", Column::Started),
            ("/livez", Column::Live),
            ("/healthz", Column::Live),
            ("/readyz", Column::Ready),
            ("/statusz", Column::Ready),
            ("/readyz/scope", Column::ScopeReady),
        ];
        let mut turn = self.turn;
        let ready = |name: &str| self.ask(&format!("/readyz/{name}"));
        let mut verdicts = subsystems(&mut turn, ready);
        self.turn = turn;
        let paths = paths.into_iter().skip(turn % 3).step_by(3);
        verdicts.extend(paths.map(|(path, column)| (column, self.ask(path).unwrap())));
        verdicts
    }
}

// === gate ===

struct Gate {
    process: ReadinessLayer,
    scope: ReadinessLayer,
    is_grpc: bool,
}

impl Gate {
    fn new(readiness: &Readiness, is_grpc: bool) -> Self {
        Self {
            process: ReadinessLayer::new(readiness),
            scope: ReadinessLayer::gate(readiness.scope("scope").unwrap()),
            is_grpc,
        }
    }

    /// Returns whether a request is admitted and whether its connection ends.
    fn ask(&self, layer: &ReadinessLayer) -> (bool, bool) {
        let service = layer.layer(service_fn(|_: Request<String>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let mut request = Request::new(String::new());
        if self.is_grpc {
            *request.version_mut() = Version::HTTP_2;
            let content_type = "application/grpc".parse().unwrap();
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type);
        }
        let response = service.oneshot(request).now_or_never().unwrap().unwrap();
        let has = |name| response.headers().contains_key(name);
        let is_admitted = !has("x-readiness");
        let is_refused = if self.is_grpc {
            has("grpc-status")
        } else {
            response.status() == StatusCode::SERVICE_UNAVAILABLE
        };
        assert_ne!(is_admitted, is_refused, "{response:?}");
        (is_admitted, has("connection"))
    }
}

impl Surface for Gate {
    fn verdicts(&mut self) -> Verdicts {
        let (is_admitted, is_closing) = self.ask(&self.process);
        let mut verdicts = vec![
            (Column::Admitted, is_admitted),
            (Column::ScopeAdmitted, self.ask(&self.scope).0),
        ];
        if self.is_grpc {
            assert!(!is_closing, "a header of HTTP/1 alone");
        } else {
            verdicts.push((Column::Since(Phase::Draining), is_closing));
        }
        verdicts
    }
}

// === health check ===

/// The thread of the admin listeners of all histories.
static ADMIN: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
});

/// The health check command, over a socket. `tests/client` asks the other questions.
struct Command {
    readiness: Readiness,
    /// Present once the command has run.
    admin: Option<(AdminServer, Folder)>,
}

/// Serves the probes on a unix socket.
pub fn serve(readiness: Readiness) -> (AdminServer, Folder) {
    let folder = Folder::new();
    let path = folder.socket();
    let (sender, receiver) = mpsc::channel();
    ADMIN.spawn(async move {
        let admin = readiness.serve(path.to_str().unwrap()).await;
        sender.send(admin.unwrap()).unwrap();
    });
    (receiver.recv().unwrap(), folder)
}

impl Drop for Command {
    fn drop(&mut self) {
        if let Some((admin, _folder)) = &self.admin {
            admin.stop();
        }
    }
}

impl Surface for Command {
    fn verdicts(&mut self) -> Verdicts {
        let serve = || serve(self.readiness.clone());
        let (admin, _folder) = self.admin.get_or_insert_with(serve);
        let check = HealthCheck::new(admin.local_addr().clone());
        let check = check.timeout(Duration::from_secs(20));
        let exit_code = |check: HealthCheck| {
            let report = check.run().unwrap();
            let is_red = report.line().contains("not ");
            assert_eq!(report.is_ok(), !is_red, "{report:?}");
            report.exit_code() == ExitCode::SUCCESS
        };
        vec![
            (Column::Healthy, exit_code(check.clone())),
            (Column::Ready, exit_code(check.ready())),
        ]
    }

    fn is_slow(&self) -> bool {
        true
    }
}

// === gRPC ===

type Client = HealthClient<GrpcHealth>;

fn service(name: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: name.to_owned(),
    }
}

/// Returns whether a service serves, or `None` if the process does not know it.
fn serves(client: &mut Client, name: &str) -> Option<bool> {
    match client.check(service(name)).now_or_never().unwrap() {
        Ok(response) => is_serving(response.into_inner().status()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{name}: {status}"),
    }
}

fn is_serving(status: ServingStatus) -> Option<bool> {
    match status {
        ServingStatus::Serving => Some(true),
        ServingStatus::NotServing => Some(false),
        ServingStatus::ServiceUnknown => None,
        ServingStatus::Unknown => panic!("{status:?}"),
    }
}

struct Services {
    client: Client,
    turn: usize,
}

impl Surface for Services {
    fn verdicts(&mut self) -> Verdicts {
        let services = [
            ("", Column::Ready),
            ("readiness", Column::Ready),
            ("startup", Column::Started),
            ("liveness", Column::Live),
            ("scope", Column::ScopeReady),
        ];
        let mut ask = |name: &str| serves(&mut self.client, name);
        let mut verdicts = subsystems(&mut self.turn, &mut ask);
        verdicts.extend(services.map(|(name, column)| (column, ask(name).unwrap())));
        verdicts
    }
}

struct Watches(Vec<Watch>);

/// A watch, its last status, and whether it has ended.
struct Watch {
    column: Column,
    stream: Streaming<HealthCheckResponse>,
    last: ServingStatus,
    has_ended: bool,
}

impl Watches {
    const SERVICES: [(&str, Column); 5] = [
        ("", Column::Ready),
        ("liveness", Column::Live),
        ("startup", Column::Started),
        ("scope", Column::ScopeReady),
        (SUBSYSTEMS[LATE].0, Column::SubsystemReady(LATE)),
    ];

    fn new(readiness: &Readiness) -> Self {
        let mut client = HealthClient::new(readiness.grpc_health());
        let watch = |(name, column)| {
            let response = client.watch(service(name)).now_or_never().unwrap();
            Watch {
                column,
                stream: response.unwrap().into_inner(),
                last: ServingStatus::Unknown,
                has_ended: false,
            }
        };
        Self(Self::SERVICES.map(watch).into())
    }
}

impl Surface for Watches {
    fn verdicts(&mut self) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for watch in &mut self.0 {
            watch.read();
            verdicts.push((Column::Since(Phase::Closing), watch.has_ended));
            // The last status of a watch that has ended was true at its end.
            if !watch.has_ended {
                let is_green = is_serving(watch.last);
                if let Column::SubsystemReady(index) = watch.column {
                    verdicts.push((Column::Known(index), is_green.is_some()));
                }
                verdicts.extend(is_green.map(|is_green| (watch.column, is_green)));
            }
        }
        verdicts
    }
}

impl Watch {
    /// Reads all messages. No status comes twice.
    fn read(&mut self) {
        while !self.has_ended {
            match self.stream.message().now_or_never() {
                Some(Ok(Some(response))) => {
                    assert_ne!(response.status(), self.last, "{:?} twice", self.column);
                    self.last = response.status();
                }
                Some(Ok(None)) => self.has_ended = true,
                Some(Err(status)) => panic!("{status}"),
                None => break,
            }
        }
    }
}

// === metrics ===

/// The text that Prometheus scrapes.
struct Metrics(Registry);

impl Metrics {
    fn new(readiness: &Readiness) -> Self {
        let mut registry = Registry::default();
        readiness.register_metrics(&mut registry);
        Self(registry)
    }
}

impl Surface for Metrics {
    fn verdicts(&mut self) -> Verdicts {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0).unwrap();
        let values: HashMap<_, _> = text.lines().filter_map(|it| it.rsplit_once(' ')).collect();
        let known = |series: String| match values.get(&*series) {
            Some(&"1") => Some(true),
            Some(&"0") => Some(false),
            None => None,
            Some(other) => panic!("{series} is {other}"),
        };
        let is = |series: String| known(series.clone()).expect(&series);
        let probe = |scope: &str, probe: &str| {
            is(format!(
                r#"readiness_verdict{{scope="{scope}",probe="{probe}"}}"#
            ))
        };
        let mut verdicts = vec![
            (Column::Started, probe("readiness", "startup")),
            (Column::Live, probe("readiness", "liveness")),
            (Column::Live, probe("scope", "liveness")),
            (Column::Ready, probe("readiness", "readiness")),
            (Column::ScopeReady, probe("scope", "readiness")),
        ];
        let phase = |phase: Phase| is(format!(r#"readiness_phase{{phase="{phase}"}}"#));
        for (index, since) in PHASES.into_iter().enumerate() {
            let is_since = PHASES[index..].iter().any(|it| phase(*it));
            verdicts.push((Column::Since(since), is_since));
        }
        let condition = |scope: &str, word: &str| {
            is(format!(
                r#"readiness_condition{{scope="{scope}",condition="{word}"}}"#
            ))
        };
        let process = |word: &str| condition("readiness", word);
        verdicts.extend(words(Column::Condition, CONDITIONS, process));
        let of_scope = |word: &str| condition("scope", word);
        verdicts.extend(words(Column::ScopeCondition, CONDITIONS, of_scope));
        for (index, (name, ..)) in SUBSYSTEMS.iter().enumerate() {
            let is_in = |state: State| {
                known(format!(
                    r#"readiness_subsystem_state{{subsystem="{name}",state="{state}"}}"#
                ))
            };
            verdicts.push((Column::Known(index), is_in(State::Ready).is_some()));
            let states = STATES.into_iter().chain([State::Stale]);
            verdicts.extend(states.map(|it| (Column::State(index, it), is_in(it) == Some(true))));
        }
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}

// === systemd ===

/// The time in which systemd expects a ping. Two pings fit into it.
pub const WATCHDOG: Duration = Duration::from_secs(2);

/// The file that explains the process after its death, read as an operator does.
struct TerminationFile {
    readiness: Readiness,
    path: PathBuf,
    _folder: Folder,
}

impl TerminationFile {
    fn new(readiness: &Readiness) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("termination-log");
        File::create(&path).unwrap();
        readiness.termination_message(&path);
        Self {
            readiness: readiness.clone(),
            path,
            _folder: folder,
        }
    }

    /// The line about the newest snapshot. A thread writes it, by the real clock.
    fn line(&self) -> String {
        let end = format!("; version {}\n", self.readiness.snapshot().version());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = fs::read_to_string(&self.path).unwrap();
            if let Some(line) = text.strip_suffix(&end) {
                // A read while the thread writes may return the begin of the former text
                // and the end of the new one. The next read returns the new text alone.
                if fs::read_to_string(&self.path).unwrap() == text {
                    return line.to_owned();
                }
            }
            assert!(
                Instant::now() < deadline,
                "{text:?} does not end in {end:?}"
            );
            thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Surface for TerminationFile {
    fn verdicts(&mut self) -> Verdicts {
        let line = self.line();
        let parts: Vec<_> = line.split("; ").collect();
        let says = |begin: &str| parts.iter().any(|part| part.starts_with(begin));
        let phases = ["draining since", "closing since", "closed since"].map(says);
        let mut verdicts = vec![
            (Column::Ready, says("ready since")),
            (Column::Live, !says("liveness red")),
        ];
        let later = [Phase::Draining, Phase::Closing, Phase::Closed];
        let at_least = |from: usize| phases[from..].contains(&true);
        verdicts.extend((0..3).map(|it| (Column::Since(later[it]), at_least(it))));
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// The other end of `NOTIFY_SOCKET`, and the state that its messages describe.
struct ServiceManager {
    socket: UnixDatagram,
    is_ready: bool,
    is_stopping: bool,
    /// Whether a ping came after the last move of the clock.
    is_pinged: bool,
    _folder: Folder,
}

impl ServiceManager {
    fn new(readiness: &Readiness) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let options = SystemdOptions::default().socket(path).watchdog(WATCHDOG);
        let systemd = readiness.notify_systemd_with(options);
        assert_eq!(systemd, Ok(Systemd::Present));
        Self {
            socket,
            is_ready: false,
            is_stopping: false,
            is_pinged: false,
            _folder: folder,
        }
    }
}

impl Surface for ServiceManager {
    fn verdicts(&mut self) -> Verdicts {
        vec![
            (Column::Started, self.is_ready),
            (Column::Since(Phase::Draining), self.is_stopping),
            (Column::Live, self.is_pinged),
        ]
    }

    fn receive(&mut self) {
        let mut message = [0; 4_096];
        self.is_pinged = false;
        while let Ok(bytes) = self.socket.recv(&mut message) {
            for line in std::str::from_utf8(&message[..bytes]).unwrap().lines() {
                match line.split_once('=').unwrap() {
                    ("READY", "1") => assert!(!replace(&mut self.is_ready, true)),
                    ("STOPPING", "1") => assert!(!replace(&mut self.is_stopping, true)),
                    ("WATCHDOG", "1") => self.is_pinged = true,
                    ("STATUS", _) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
