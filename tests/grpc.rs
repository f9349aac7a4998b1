//! gRPC's health service, asked by a real client over a real server.

mod support;

use std::{collections::BTreeMap, future::IntoFuture, time::Duration};
use support::{listen, ready, soon};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus::{self, NotServing, ServiceUnknown, Serving},
    health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tower_readiness::{
    NameError, Phase, Readiness, ReadinessLayer, Reporter, Subsystem, drain,
    notify::grpc::{AliasError, GrpcHealth},
};

struct Process {
    readiness: Readiness,
    storage: Reporter,
    index: Reporter,
    client: HealthClient<Channel>,
    channel: Channel,
}

async fn process() -> Process {
    process_with(Readiness::grpc_health).await
}

async fn process_with(health: impl FnOnce(&Readiness) -> GrpcHealth) -> Process {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital())
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let (listener, address) = listen().await;
    // The gate refuses every other service.
    let server = Server::builder()
        .layer(ReadinessLayer::new(&readiness).count_in_flight())
        .add_service(health(&readiness))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    Process {
        readiness,
        storage,
        index,
        client: HealthClient::new(channel.clone()),
        channel,
    }
}

/// `HealthListRequest` of `grpc/health/v1/health.proto`, which tonic-health does
/// not have yet.
#[derive(Clone, PartialEq, prost::Message)]
struct ListRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    statuses: BTreeMap<String, HealthCheckResponse>,
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

impl Process {
    async fn check(&mut self, service: &str) -> Result<ServingStatus, Code> {
        let response = soon(self.client.check(request(service))).await;
        response
            .map(|response| response.into_inner().status())
            .map_err(|status| status.code())
    }

    /// `""`, `readiness`, `liveness`, `startup`, the scope, a subsystem, as
    /// `Check` and `List` agree.
    async fn all(&mut self) -> [ServingStatus; 6] {
        let mut all = [ServiceUnknown; 6];
        let services = ["", "readiness", "liveness", "startup", "search", "index"];
        let listed = self.list().await.unwrap();
        for (status, service) in all.iter_mut().zip(services) {
            *status = self.check(service).await.unwrap();
            assert_eq!(listed[service], *status, "{service:?}");
        }
        all
    }

    async fn list(&self) -> Result<BTreeMap<String, ServingStatus>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<ListRequest, ListResponse>::default();
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/List");
        let response = soon(grpc.unary(Request::new(ListRequest {}), path, codec)).await?;
        let statuses = response.into_inner().statuses.into_iter();
        Ok(statuses
            .map(|(service, response)| (service, response.status()))
            .collect())
    }

    async fn watch(&mut self, service: &str) -> Streaming<HealthCheckResponse> {
        let response = soon(self.client.watch(request(service))).await;
        response.unwrap().into_inner()
    }
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let message = soon(watch.message()).await.unwrap();
    message.map(|response| response.status())
}

#[tokio::test]
async fn every_name_answers_by_the_truth_table() {
    let mut process = process().await;
    let (on, off) = (Serving, NotServing);
    assert_eq!(process.all().await, [off, off, on, off, off, off]);
    process.storage.ready();
    assert_eq!(process.all().await, [on, on, on, on, off, off]);
    process.index.degraded("slow");
    assert_eq!(process.all().await, [on, on, on, on, on, on]);
    process.storage.failing("gone");
    assert_eq!(process.all().await, [off, off, on, on, on, on]);
    process.storage.dead("gone for good");
    assert_eq!(process.all().await, [off, off, off, on, off, off]);
    process.storage.ready();
    let pause = process.readiness.pause("standby");
    assert_eq!(process.all().await, [off, off, on, on, off, off]);
    drop(pause);
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        process.readiness.advance(phase);
        assert_eq!(process.all().await, [off, off, on, on, off, off]);
    }
}

#[tokio::test]
async fn a_check_of_an_unknown_name_is_not_found() {
    let mut process = process().await;
    assert_eq!(process.check("nobody").await, Err(Code::NotFound));
    let late = process.readiness.add(Subsystem::new("late")).unwrap();
    assert_eq!(process.check("late").await, Ok(NotServing));
    late.retire();
    assert_eq!(process.check("late").await, Err(Code::NotFound));
}

#[tokio::test]
async fn a_list_has_every_name_that_a_check_knows() {
    let process = process().await;
    let names = async || {
        let listed = process.list().await.unwrap();
        listed.into_keys().collect::<Vec<_>>()
    };
    let declared = [
        "",
        "index",
        "liveness",
        "readiness",
        "search",
        "startup",
        "storage",
    ];
    assert_eq!(names().await, declared);
    let late = process.readiness.add(Subsystem::new("late")).unwrap();
    assert!(names().await.contains(&"late".to_owned()));
    late.retire();
    assert_eq!(names().await, declared);
}

#[tokio::test]
async fn a_list_of_more_than_a_thousand_services_is_refused() {
    let process = process().await;
    let mut added = Vec::new();
    let mut add = |name: usize| {
        let subsystem = Subsystem::new(format!("upstream-{name}"));
        added.push(process.readiness.add(subsystem).unwrap());
    };
    // With the four of the process, the scope and the two declared ones.
    (0..993).for_each(&mut add);
    assert_eq!(process.list().await.unwrap().len(), 1_000);
    add(993);
    let status = process.list().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1001"), "{status}");
}

#[tokio::test]
async fn an_alias_is_the_service_for_which_it_stands() {
    let mut process = process_with(|readiness| {
        GrpcHealth::builder(readiness)
            .alias("shop.v1.Search", "search")
            .alias("shop.v1.Orders", "")
            .build()
            .unwrap()
    })
    .await;
    let mut search = process.watch("shop.v1.Search").await;
    let mut orders = process.watch("shop.v1.Orders").await;
    assert_eq!(next(&mut search).await, Some(NotServing));
    assert_eq!(next(&mut orders).await, Some(NotServing));
    process.storage.ready();
    assert_eq!(next(&mut orders).await, Some(Serving));
    assert_eq!(process.check("shop.v1.Orders").await, Ok(Serving));
    assert_eq!(process.check("shop.v1.Search").await, Ok(NotServing));
    let listed = process.list().await.unwrap();
    assert_eq!(listed["shop.v1.Orders"], Serving);
    assert_eq!(listed["shop.v1.Search"], NotServing);
    assert_eq!(listed.len(), 9);
    process.index.ready();
    assert_eq!(next(&mut search).await, Some(Serving));
    assert_eq!(process.check("shop.v1.Other").await, Err(Code::NotFound));
}

#[tokio::test]
async fn an_alias_hides_a_later_subsystem_and_ends_with_its_own() {
    let mut late = None;
    let mut process = process_with(|readiness| {
        late = Some(readiness.add(Subsystem::new("late")).unwrap());
        GrpcHealth::builder(readiness)
            .alias("shop.v1.Late", "late")
            .build()
            .unwrap()
    })
    .await;
    let namesake = process.readiness.add(Subsystem::new("shop.v1.Late"));
    namesake.unwrap().leave_ready();
    process.storage.ready();
    assert_eq!(process.check("shop.v1.Late").await, Ok(NotServing));
    assert_eq!(process.list().await.unwrap()["shop.v1.Late"], NotServing);
    late.unwrap().retire();
    assert_eq!(process.check("shop.v1.Late").await, Err(Code::NotFound));
}

#[test]
fn an_alias_needs_a_name_of_its_own_and_a_service() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.scope("search", ["storage"]).build().unwrap();
    let health = || GrpcHealth::builder(&readiness);
    let duplicate = |alias: &str| AliasError::Duplicate {
        alias: alias.to_owned(),
    };
    let invalid = |alias: &str, source| AliasError::Name {
        alias: alias.to_owned(),
        source,
    };
    let character = NameError::Character { character: '/' };
    for (builder, expected) in [
        (health().alias("storage", "search"), duplicate("storage")),
        (health().alias("search", "search"), duplicate("search")),
        (
            health().alias("a.B", "search").alias("a.B", "storage"),
            duplicate("a.B"),
        ),
        (health().alias("a/b", "search"), invalid("a/b", character)),
        (
            health().alias("readiness", "search"),
            invalid("readiness", NameError::Reserved),
        ),
        // No alias stands for another.
        (
            health().alias("a.B", "search").alias("a.C", "a.B"),
            AliasError::Unknown {
                alias: "a.C".to_owned(),
                service: "a.B".to_owned(),
                known: r#""", "readiness", "liveness", "startup", "search", "storage""#.to_owned(),
            },
        ),
    ] {
        assert_eq!(builder.build().unwrap_err(), expected);
    }
}

#[tokio::test]
async fn an_address_is_a_service() {
    let mut process = process().await;
    process.storage.ready();
    let name = "[::1]:8080";
    let upstream = process.readiness.add(Subsystem::new(name)).unwrap();
    upstream.ready();
    assert_eq!(process.check(name).await, Ok(Serving));
    assert_eq!(process.list().await.unwrap()[name], Serving);
    let mut watch = process.watch(name).await;
    assert_eq!(next(&mut watch).await, Some(Serving));
    upstream.failing("refused");
    assert_eq!(next(&mut watch).await, Some(NotServing));
}

#[tokio::test]
async fn a_watch_tells_the_present_status_and_then_each_change() {
    let mut process = process().await;
    let mut watch = process.watch("").await;
    assert_eq!(next(&mut watch).await, Some(NotServing));
    process.storage.ready();
    assert_eq!(next(&mut watch).await, Some(Serving));
    // A report that changes no status sends nothing.
    process.index.ready();
    process.storage.degraded("slow");
    process.storage.failing("gone");
    assert_eq!(next(&mut watch).await, Some(NotServing));
}

#[tokio::test]
async fn a_watch_of_an_unknown_name_goes_on() {
    let mut process = process().await;
    let mut watch = process.watch("late").await;
    assert_eq!(next(&mut watch).await, Some(ServiceUnknown));
    let late = process.readiness.add(Subsystem::new("late")).unwrap();
    assert_eq!(next(&mut watch).await, Some(NotServing));
    process.storage.ready();
    late.ready();
    assert_eq!(next(&mut watch).await, Some(Serving));
    late.retire();
    assert_eq!(next(&mut watch).await, Some(ServiceUnknown));
}

#[tokio::test]
async fn draining_is_told_at_once_and_closing_ends_the_watches() {
    let mut process = process().await;
    process.storage.ready();
    let mut readiness = process.watch("readiness").await;
    let mut liveness = process.watch("liveness").await;
    assert_eq!(next(&mut readiness).await, Some(Serving));
    assert_eq!(next(&mut liveness).await, Some(Serving));
    process.readiness.drain();
    assert_eq!(next(&mut readiness).await, Some(NotServing));
    process.readiness.advance(Phase::Closing);
    assert_eq!(next(&mut readiness).await, None);
    assert_eq!(next(&mut liveness).await, None);
    let mut late = process.watch("liveness").await;
    assert_eq!(next(&mut late).await, Some(Serving), "the last word");
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test]
async fn a_client_that_never_reads_delays_no_other() {
    let mut process = process().await;
    let unread = process.watch("").await;
    let mut read = process.watch("").await;
    for _ in 0..10_000 {
        process.storage.ready();
        process.storage.failing("gone");
    }
    process.storage.ready();
    loop {
        if next(&mut read).await == Some(Serving) {
            break;
        }
    }
    assert_eq!(
        process.readiness.in_flight(),
        Some(0),
        "nor is it in flight"
    );
    assert_eq!(process.check("").await, Ok(Serving));
    drop(unread);
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_contents_of_its_window_and_then_the_newest() {
    /// Of 7 bytes each.
    const WINDOW: u32 = 700;
    let (readiness, storage) = support::starting();
    let (listener, address) = listen().await;
    let server = Server::builder()
        .add_service(readiness.grpc_health())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.initial_stream_window_size(WINDOW);
    let mut unread = HealthClient::new(channel.connect().await.unwrap());
    let mut unread = soon(unread.watch(request(""))).await.unwrap().into_inner();
    assert_eq!(next(&mut unread).await, Some(NotServing));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut reads = HealthClient::new(channel.connect().await.unwrap());
    let mut reads = soon(reads.watch(request(""))).await.unwrap().into_inner();
    assert_eq!(next(&mut reads).await, Some(NotServing));
    for _ in 0..200 {
        // Each is sent before the next comes.
        storage.ready();
        assert_eq!(next(&mut reads).await, Some(Serving));
        storage.failing("gone");
        assert_eq!(next(&mut reads).await, Some(NotServing));
    }
    storage.ready();
    assert_eq!(next(&mut reads).await, Some(Serving));
    drop(storage);
    drop(readiness);

    let mut statuses = Vec::new();
    while let Some(status) = next(&mut unread).await {
        statuses.push(status);
    }
    // The last status is that of the dropped reporter.
    assert_eq!(statuses.last(), Some(&NotServing));
    let count = statuses.len();
    assert!((100..=110).contains(&count), "{count}");
}

#[tokio::test]
async fn watches_end_with_the_registry() {
    let (readiness, storage) = support::starting();
    let (listener, address) = listen().await;
    let server = Server::builder()
        .add_service(readiness.grpc_health())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let watch = soon(client.watch(request("storage"))).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(next(&mut watch).await, Some(NotServing));
    drop((readiness, storage));
    assert_eq!(next(&mut watch).await, None);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_connection_retires() {
    let (readiness, _storage) = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let routes = Routes::new(readiness.grpc_health()).into_axum_router();
    let shutdown = readiness.shutdown().delay(Duration::from_secs(5));
    let server = drain::serve(&readiness, listener, routes.into_make_service())
        .with_graceful_shutdown(shutdown.build().unwrap());
    let server = tokio::spawn(server.into_future());
    let channel = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut watch = client.watch(request("")).await.unwrap().into_inner();
    assert_eq!(next(&mut watch).await, Some(Serving));
    readiness.drain();
    assert_eq!(next(&mut watch).await, Some(NotServing));
    assert_eq!(next(&mut watch).await, None);
    assert_eq!(readiness.verdict().phase(), Phase::Draining);
    // A client that keeps its channel connects again, and is served.
    client.check(request("")).await.unwrap();
    server.await.unwrap().unwrap();
}
