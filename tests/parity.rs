//! One truth on every surface: through random histories, HTTP in all its
//! formats, the health check, gRPC, systemd and the gate say what the truth
//! table says of the model, at every step.
#![cfg(unix)]

#[path = "support/folder.rs"]
mod folder;
mod history;

use bytes::Bytes;
use folder::Folder;
use futures_util::FutureExt;
use history::{ADDED, Answer, DECLARED, Model, Process, Step, TTL, name, step, take};
use http::{Request, Response, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, Empty};
use proptest::{collection::vec, prelude::*};
use std::{convert::Infallible, os::unix::net::UnixDatagram, time::Duration};
use tokio::time::advance;
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Condition, Phase, Readiness, ReadinessLayer, State,
    client::HealthCheck,
    gate::Refusal,
    notify::{
        grpc::GrpcHealth,
        systemd::{Systemd, SystemdOptions},
    },
    probe::{Detail, Probes},
    server::AdminServer,
};

/// A row of the truth table, as every surface is asked for it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    started: bool,
    live: bool,
    ready: bool,
    scope: bool,
    healthy: bool,
}

impl Row {
    fn of(model: &Model) -> Self {
        let Answer {
            started,
            live,
            ready,
            ..
        } = model.process();
        Self {
            started,
            live,
            ready,
            scope: model.scope().ready,
            healthy: started && live,
        }
    }
}

// === HTTP, and the gate ===

async fn ask(probes: &Probes, path: &str, accept: &str) -> (bool, String) {
    let request = Request::get(path).header(ACCEPT, accept);
    let request = request.body(String::new()).unwrap();
    let response = probes.clone().oneshot(request).await.unwrap();
    let ok = match response.status() {
        StatusCode::OK => true,
        StatusCode::SERVICE_UNAVAILABLE => false,
        status => panic!("{path}: {status}"),
    };
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (ok, String::from_utf8(body.into()).unwrap())
}

async fn over_http(probes: &Probes, version: u64) -> Row {
    let mut answers = Vec::new();
    for path in ["/startupz", "/livez", "/readyz", "/readyz/scope"] {
        let (ok, text) = ask(probes, path, "text/plain").await;
        assert_eq!(ok, !text.starts_with("not "), "{path}: {text}");
        let (verbose, text) = ask(probes, &format!("{path}?verbose"), "text/plain").await;
        let last = text.lines().last().unwrap();
        assert_eq!((verbose, last.starts_with("not ")), (ok, !ok), "{text}");
        let (json, text) = ask(probes, path, "application/json").await;
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((json, &body["ok"]), (ok, &ok.into()), "{text}");
        assert_eq!(body["version"], version, "of the same snapshot");
        answers.push(ok);
    }
    let (_, text) = ask(probes, "/statusz", "text/plain").await;
    let last = text.lines().last().unwrap();
    assert_eq!(!last.starts_with("not ready"), answers[2], "{text}");
    let (health, _) = ask(probes, "/healthz", "*/*").await;
    assert_eq!(health, answers[1]);
    Row {
        started: answers[0],
        live: answers[1],
        ready: answers[2],
        scope: answers[3],
        healthy: answers[0] && answers[1],
    }
}

async fn refuses(layer: &ReadinessLayer) -> bool {
    let service = layer.layer(service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let response = service.oneshot(Request::new(String::new())).await.unwrap();
    response.extensions().get::<Refusal>().is_some()
}

// === the health check ===

fn by_health_check(admin: &AdminServer) -> Row {
    let check = || HealthCheck::new(admin.local_addr().clone()).timeout(Duration::from_secs(20));
    let asked = |check: HealthCheck| {
        let report = check.run().unwrap();
        assert_eq!(
            report.is_ok(),
            !report.line().contains("not "),
            "{report:?}"
        );
        report.is_ok()
    };
    Row {
        started: asked(check().startup()),
        live: asked(check().live()),
        ready: asked(check().ready()),
        scope: asked(check().scope("scope")),
        healthy: asked(check()),
    }
}

// === gRPC ===

type Client = HealthClient<GrpcHealth>;

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn serves(client: &mut Client, service: &str) -> Result<bool, Code> {
    let status = client.check(named(service)).await;
    match status.map(|response| response.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(true),
        Ok(ServingStatus::NotServing) => Ok(false),
        Ok(status) => panic!("{service}: {status:?}"),
        Err(status) => Err(status.code()),
    }
}

async fn over_grpc(client: &mut Client) -> Row {
    let ready = serves(client, "").await.unwrap();
    assert_eq!(serves(client, "readiness").await, Ok(ready));
    let (started, live) = (
        serves(client, "startup").await.unwrap(),
        serves(client, "liveness").await.unwrap(),
    );
    Row {
        started,
        live,
        ready,
        scope: serves(client, "scope").await.unwrap(),
        healthy: started && live,
    }
}

/// A watch, and what it said last.
struct Watch {
    stream: Streaming<HealthCheckResponse>,
    last: Option<ServingStatus>,
    ended: bool,
}

impl Watch {
    async fn begin(client: &mut Client, service: &str) -> Self {
        let stream = client.watch(named(service)).await.unwrap().into_inner();
        Self {
            stream,
            last: None,
            ended: false,
        }
    }

    /// Reads all that there is. No status comes twice.
    fn read(&mut self) -> ServingStatus {
        while !self.ended {
            match self.stream.message().now_or_never() {
                Some(Ok(Some(response))) => {
                    let status = response.status();
                    assert_ne!(Some(status), self.last, "said again");
                    self.last = Some(status);
                }
                Some(Ok(None)) => self.ended = true,
                Some(Err(status)) => panic!("{status}"),
                None => break,
            }
        }
        self.last.unwrap()
    }
}

// === systemd ===

/// The other end of `NOTIFY_SOCKET`, and what it makes of what it hears.
struct ServiceManager {
    socket: UnixDatagram,
    ready: u32,
    stopping: u32,
    pings: u32,
    status: String,
}

impl ServiceManager {
    fn hear(&mut self) {
        let mut message = [0; 4_096];
        self.pings = 0;
        while let Ok(bytes) = self.socket.recv(&mut message) {
            for line in std::str::from_utf8(&message[..bytes]).unwrap().lines() {
                match line.split_once('=').unwrap() {
                    ("READY", "1") => self.ready += 1,
                    ("STOPPING", "1") => self.stopping += 1,
                    ("WATCHDOG", "1") => self.pings += 1,
                    ("STATUS", status) => status.clone_into(&mut self.status),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// What the first words of the status should be.
    fn expected(model: &Model) -> &'static str {
        let Answer {
            condition,
            started,
            live,
            ..
        } = model.process();
        match (model.phase, live, started, condition) {
            (Phase::Draining, ..) => "draining",
            (Phase::Closing, ..) => "closing",
            (Phase::Closed, ..) => "closed",
            (_, false, ..) => "not live",
            (_, _, false, _) => "starting",
            (.., Condition::Starting | Condition::Failing) => "not ready",
            _ if model.pauses > 0 => "paused",
            (.., Condition::Degraded) => "degraded",
            _ => "ready",
        }
    }
}

// === silence ===

#[derive(Clone, Debug)]
enum Turn {
    Step(Step),
    Silence(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        12 => step().prop_map(Turn::Step),
        1 => (0..DECLARED.len() + ADDED.len()).prop_map(Turn::Silence),
    ]
}

/// One says nothing for too long, while all others beat who have not fallen
/// silent before.
async fn fall_silent(
    index: usize,
    model: &mut Model,
    process: &Process,
    systemd: &mut ServiceManager,
) {
    let listened_for = |index: usize, model: &mut Model| {
        let entry = model.find(name(index));
        entry.is_some_and(|entry| entry.is_listened_for())
    };
    if !listened_for(index, model) {
        return;
    }
    let others = (0..process.reporters.len()).filter(|other| *other != index);
    let others: Vec<_> = others.filter(|it| listened_for(*it, model)).collect();
    // A beat is seen at the next look, and a look may be late by one of these.
    for _ in 0..16 + 4 + 2 {
        for other in &others {
            process.reporters[*other].as_ref().unwrap().heartbeat();
        }
        advance(TTL / 16).await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        // No more fits into its socket.
        systemd.hear();
    }
    if model.phase < Phase::Draining {
        model.find(name(index)).unwrap().state = State::Stale;
    }
}

// === all of them ===

const WATCHDOG: Duration = Duration::from_secs(2);

struct Surfaces {
    probes: Probes,
    layer: ReadinessLayer,
    scope: ReadinessLayer,
    admin: AdminServer,
    grpc: Client,
    watches: Vec<(&'static str, Watch)>,
    systemd: ServiceManager,
    _folder: Folder,
}

impl Surfaces {
    async fn of(readiness: &Readiness) -> Self {
        let folder = Folder::new();
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let options = SystemdOptions::default().socket(path).watchdog(WATCHDOG);
        let told = readiness.notify_systemd_with(options);
        assert_eq!(told, Ok(Systemd::Present));
        let admin = folder.0.join("admin");
        let mut grpc = HealthClient::new(readiness.grpc_health());
        let mut watches = Vec::new();
        for service in ["", "liveness", "startup", "scope", "late"] {
            watches.push((service, Watch::begin(&mut grpc, service).await));
        }
        Self {
            probes: Probes::builder(readiness)
                .detail(Detail::Full)
                .build()
                .unwrap(),
            layer: ReadinessLayer::new(readiness),
            scope: ReadinessLayer::gate(readiness.scope("scope").unwrap()),
            admin: readiness.serve_on_thread(admin.to_str().unwrap()).unwrap(),
            grpc,
            watches,
            systemd: ServiceManager {
                socket,
                ready: 0,
                stopping: 0,
                pings: 0,
                status: String::new(),
            },
            _folder: folder,
        }
    }

    async fn agree(&mut self, readiness: &Readiness, model: &Model) {
        // Twice what systemd may be told late by, and a ping.
        for _ in 0..2 {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            advance(WATCHDOG / 2).await;
        }
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }

        let row = Row::of(model);
        let version = readiness.snapshot().version();
        assert_eq!(over_http(&self.probes, version).await, row, "HTTP");
        assert_eq!(refuses(&self.layer).await, model.process().refused);
        assert_eq!(refuses(&self.scope).await, model.scope().refused);
        assert_eq!(by_health_check(&self.admin), row, "health check");
        assert_eq!(over_grpc(&mut self.grpc).await, row, "gRPC");
        for entry in &model.entries {
            let path = format!("/readyz/{}", entry.name);
            let (ready, _) = ask(&self.probes, &path, "text/plain").await;
            let served = serves(&mut self.grpc, entry.name).await;
            assert_eq!(served, Ok(ready), "{}", entry.name);
        }
        let nobody = serves(&mut self.grpc, "nobody").await;
        assert_eq!(nobody, Err(Code::NotFound));
        for (service, watch) in &mut self.watches {
            let said = watch.read();
            // The last word of one that has ended is what was true then.
            if !watch.ended {
                let is = match serves(&mut self.grpc, service).await {
                    Ok(true) => ServingStatus::Serving,
                    Ok(false) => ServingStatus::NotServing,
                    Err(_) => ServingStatus::ServiceUnknown,
                };
                assert_eq!(said, is, "the watch of {service:?}");
            }
            assert_eq!(watch.ended, model.phase >= Phase::Closing, "{service:?}");
        }

        let systemd = &mut self.systemd;
        systemd.hear();
        assert_eq!(
            systemd.ready,
            u32::from(row.started),
            "READY=1 at the latch"
        );
        let drains = model.phase >= Phase::Draining;
        assert_eq!(systemd.stopping, u32::from(drains), "STOPPING=1 once");
        let expected = ServiceManager::expected(model);
        assert!(
            systemd.status.starts_with(expected),
            "{}: {expected}",
            systemd.status
        );
        // It was just as live all the time since the last step.
        assert_eq!(systemd.pings > 0, row.live, "WATCHDOG=1 while live");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_two_surfaces_disagree(turns in vec(turn(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            let mut process = Process::new();
            let mut surfaces = Surfaces::of(&process.readiness).await;
            for turn in turns {
                match turn {
                    Turn::Step(step) => take(&step, &mut model, &mut process),
                    Turn::Silence(index) => {
                        fall_silent(index, &mut model, &process, &mut surfaces.systemd).await;
                    }
                }
                model.settle();
                surfaces.agree(&process.readiness, &model).await;
            }
            surfaces.admin.stop();
            surfaces.admin.stopped().await;
        });
    }
}
