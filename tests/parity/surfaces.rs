//! The surfaces, each of which answers columns of the truth table in its own way.

use crate::{
    events::Events,
    folder::Folder,
    grpc::{Names, Services, Watches},
    history::{Column, ENTRIES, GROUP, MEMBERS, PHASES, STATES, subsystems},
    members::MembersPage,
    metrics::Metrics,
    mirrors::{ServiceManager, TerminationFile},
    page::Page,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use serde::Deserialize;
use std::{
    convert::Infallible,
    process::ExitCode,
    sync::{LazyLock, mpsc},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer, State, SubsystemView,
    client::HealthCheck,
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
    let services = |names| Services::new(readiness, names, turn);
    let watches = |names| Watches::new(readiness, names);
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
        ("gRPC", Box::new(services(Names::Own))),
        ("gRPC, aliases", Box::new(services(Names::Aliases))),
        ("gRPC, watch", Box::new(watches(Names::Own))),
        ("gRPC, watch of aliases", Box::new(watches(Names::Aliases))),
        ("events", Box::new(Events::new(readiness, |_| {}))),
        ("page", Box::new(Page::new(readiness))),
        ("members", Box::new(MembersPage::new(readiness, turn))),
        ("metrics", Box::new(Metrics::new(readiness))),
        ("systemd", Box::new(ServiceManager::new(readiness))),
        ("last words", Box::new(TerminationFile::new(readiness))),
    ]
}

/// The columns of a condition, of whose words exactly one is shown.
pub fn conditions(scope: usize, is: impl Fn(&str) -> bool) -> Verdicts {
    let words = ["starting", "ready", "degraded", "failing"].into_iter();
    let columns = words.map(|word| (Column::Condition(scope, word), is(word)));
    columns.collect()
}

/// The columns of the state that a surface shows of a subsystem, as its word.
pub fn states(index: usize, shown: Option<&str>) -> Verdicts {
    let states = STATES.into_iter().chain([State::Stale]).map(Some);
    let states = states.chain([None]);
    let is_shown = |it: Option<State>| shown == it.map(State::as_str);
    let columns = states.map(|it| (Column::State(index, it), is_shown(it)));
    columns.collect()
}

/// The columns of a phase that a surface shows as its word.
pub fn phases(shown: &str) -> Verdicts {
    let since = |from: usize| PHASES[from..].iter().any(|it| it.as_str() == shown);
    let columns = (0..PHASES.len()).map(|it| (Column::Since(PHASES[it]), since(it)));
    columns.collect()
}

/// The columns of the counts of members.
pub fn members(total: usize, shown: impl Fn(State) -> usize) -> Verdicts {
    assert_eq!(STATES.into_iter().map(&shown).sum::<usize>(), total);
    let counts = STATES.into_iter().flat_map(|state| {
        let shown = shown(state);
        (0..=ENTRIES.len() - MEMBERS).map(move |it| (Column::Members(state, it), it == shown))
    });
    counts.collect()
}

/// The columns of every third subsystem, from whether it is ready; `None` if it is
/// unknown. Each turn asks for others, and the probe formats never for the same.
fn ready(turn: &mut usize, mut ready: impl FnMut(&str) -> Option<bool>) -> Verdicts {
    *turn += 1;
    let mut verdicts = Vec::new();
    for (index, name) in subsystems().skip(*turn % 3).step_by(3) {
        let ready = ready(name);
        verdicts.push((Column::State(index, None), ready.is_none()));
        verdicts.extend(ready.map(|ready| (Column::SubsystemReady(index), ready)));
    }
    verdicts
}

impl Surface for Readiness {
    fn verdicts(&mut self) -> Verdicts {
        let snapshot = self.snapshot();
        let (verdict, scope) = (snapshot.verdict(), snapshot.scope("scope").unwrap());
        let mut verdicts = vec![
            (Column::Started, verdict.has_started()),
            (Column::Live, verdict.is_live()),
            (Column::Healthy, verdict.is_healthy()),
            (Column::Ready(0), verdict.is_ready()),
            (Column::Ready(1), scope.is_ready()),
        ];
        verdicts.extend(phases(snapshot.phase().as_str()));
        verdicts.extend(conditions(0, |it| verdict.condition().as_str() == it));
        verdicts.extend(conditions(1, |it| scope.condition().as_str() == it));
        for (index, name) in subsystems() {
            let view = snapshot.subsystem(name);
            let is_simulated = view.is_some_and(SubsystemView::is_simulated);
            verdicts.push((Column::Simulated(index), is_simulated));
            verdicts.extend(states(index, view.map(|it| it.state().as_str())));
        }
        let group = snapshot.subsystem(ENTRIES[GROUP].0).unwrap();
        let counts = group.members().unwrap();
        verdicts.extend(members(counts.total(), |state| counts.in_state(state)));
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
            ("/readyz", Column::Ready(0)),
            ("/statusz", Column::Ready(0)),
            ("/readyz/scope", Column::Ready(1)),
        ];
        let mut turn = self.turn;
        let ask = |name: &str| self.ask(&format!("/readyz/{name}"));
        let mut verdicts = ready(&mut turn, ask);
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
            (Column::Admitted(0), is_admitted),
            (Column::Admitted(1), self.ask(&self.scope).0),
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
            (Column::Ready(0), exit_code(check.ready())),
        ]
    }

    fn is_slow(&self) -> bool {
        true
    }
}
