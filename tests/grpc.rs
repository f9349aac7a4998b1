//! gRPC's health service, asked by a real client over a real server.

mod support;

use support::{listen, soon};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Streaming,
    transport::{Channel, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus::{self, NotServing, ServiceUnknown, Serving},
    health_client::HealthClient,
};
use tower_readiness::{Phase, Readiness, ReadinessLayer, Reporter, Subsystem};

struct Process {
    readiness: Readiness,
    storage: Reporter,
    index: Reporter,
    client: HealthClient<Channel>,
}

async fn process() -> Process {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital())
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let (listener, address) = listen().await;
    // The gate is closed for all but this service.
    let server = Server::builder()
        .layer(ReadinessLayer::new(&readiness).count_in_flight())
        .add_service(readiness.grpc_health())
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let client = HealthClient::new(channel.connect().await.unwrap());
    Process {
        readiness,
        storage,
        index,
        client,
    }
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

    /// `""`, `readiness`, `liveness`, `startup`, the scope, a subsystem.
    async fn all(&mut self) -> [ServingStatus; 6] {
        let mut all = [ServiceUnknown; 6];
        let services = ["", "readiness", "liveness", "startup", "search", "index"];
        for (status, service) in all.iter_mut().zip(services) {
            *status = self.check(service).await.unwrap();
        }
        all
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
async fn a_watch_tells_the_present_status_and_then_each_change() {
    let mut process = process().await;
    let mut watch = process.watch("").await;
    assert_eq!(next(&mut watch).await, Some(NotServing));
    process.storage.ready();
    assert_eq!(next(&mut watch).await, Some(Serving));
    // What does not change the status is no news.
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
async fn a_client_that_never_reads_holds_up_nobody() {
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
