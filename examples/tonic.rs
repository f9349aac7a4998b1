//! A gRPC server behind the layer: a refused call fails with `UNAVAILABLE`,
//! which gRPC clients know to retry, and the same port answers the probes and
//! gRPC health checks.
//!
//! It is its own client first and shows a few calls, then it goes on serving:
//!
//! ```sh
//! cargo run --features grpc,serve --example tonic
//! PORT=8080 cargo run --features grpc,serve --example tonic
//! ONCE=1 cargo run --features grpc,serve --example tonic # ends after the calls
//! ```

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use futures_util::{FutureExt, Stream, future::BoxFuture, stream};
use http::{StatusCode, uri::PathAndQuery};
use std::{
    convert::Infallible,
    env,
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{
    Code, Request, Response, Status, body::Body, server::NamedService, service::Routes,
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use tower_readiness::{Readiness, ReadinessLayer, Reporter, Subsystem, drain};

type Error = Box<dyn std::error::Error>;

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Error> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Error> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()?;
    let storage = Arc::new(readiness.reporter("storage")?);

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    let layer = ReadinessLayer::new(&readiness)
        // For the demo only.
        .exempt(|head| head.uri().path().starts_with("/demo/storage/"))
        .count_in_flight();
    let demo = Router::new()
        .route("/demo/storage/{state}", post(flip))
        .with_state(Arc::clone(&storage));
    // tonic's own server tells all clients at once, at the end of the delay.
    let app = Routes::from(demo)
        .add_service(readiness.grpc_health())
        .add_service(Greeter)
        .into_axum_router()
        .layer(layer);
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    let server = tokio::spawn(server.into_future());

    let channel = Channel::from_shared(format!("http://{address}"))?.connect_lazy();
    let mut client = Client(tonic::client::Grpc::new(channel));

    println!("storage is starting:");
    show(Code::Unavailable, client.say("world").await)?;
    println!("storage is ready:");
    storage.ready();
    show(Code::Ok, client.say("world").await)?;
    show(Code::Ok, client.count(3).await)?;
    println!("storage fails:");
    storage.failing("connection refused");
    show(Code::Unavailable, client.say("world").await)?;
    show(Code::Unavailable, client.count(3).await)?;
    println!("storage is back:");
    storage.ready();
    show(Code::Ok, client.say("world").await)?;

    if env::var_os("ONCE").is_none() {
        print_walk_through(address);
        readiness.run(server).await???;
    }
    Ok(())
}

/// Prints the outcome of a call. Fails if the status is not the expected one.
fn show(expected: Code, outcome: Result<String, Status>) -> Result<(), Error> {
    let code = match outcome {
        Ok(text) => {
            println!("  OK: {text}");
            Code::Ok
        }
        Err(status) => {
            // An `UNAVAILABLE` of the network has no such header.
            let marked = status.metadata().contains_key("x-readiness");
            let by = if marked { "the layer" } else { "others" };
            let (code, message) = (status.code(), status.message());
            println!("  {code:?}, from {by}: {message}");
            code
        }
    };
    if code == expected {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, got {code:?}").into())
    }
}

/// `POST /demo/storage/{state}`
async fn flip(
    State(storage): State<Arc<Reporter>>,
    Path(state): Path<String>,
) -> Result<String, (StatusCode, &'static str)> {
    match state.as_str() {
        "ready" => storage.ready(),
        "failing" => storage.failing("connection refused"),
        _ => {
            let message = "the states are ready and failing\n";
            return Err((StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(format!("storage is {state}\n"))
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "
Serving on http://{address}.

The probes, over HTTP/2 and HTTP/1.1
  curl -i --http2-prior-knowledge http://{address}/readyz
  curl -i http://{address}/readyz
  curl -i http://{address}/livez

gRPC health checks of readiness (no name, or `readiness`), `liveness`, `startup`, the scope
`search` (whose index never comes up here), a subsystem, and an unknown name
  grpcurl -plaintext {address} grpc.health.v1.Health/Check
  grpcurl -plaintext -d '{{\"service\": \"search\"}}' {address} grpc.health.v1.Health/Check
  grpcurl -plaintext -d '{{\"service\": \"nobody\"}}' {address} grpc.health.v1.Health/Check
In another terminal, each change as it happens
  grpcurl -plaintext {address} grpc.health.v1.Health/Watch
Fail and recover: calls are refused, health checks are not
  curl -i -X POST http://{address}/demo/storage/failing
  curl -i -X POST http://{address}/demo/storage/ready

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}

// The rest is written by hand as `tonic-prost-build` would make it of a .proto file.

const SAY: &str = "/demo.Greeter/Say";
const COUNT: &str = "/demo.Greeter/Count";

#[derive(Clone, PartialEq, prost::Message)]
struct SayRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SayReply {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CountRequest {
    #[prost(uint32, tag = "1")]
    up_to: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CountReply {
    #[prost(uint32, tag = "1")]
    number: u32,
}

async fn say(request: Request<SayRequest>) -> Result<Response<SayReply>, Status> {
    let text = format!("hello, {}", request.into_inner().name);
    Ok(Response::new(SayReply { text }))
}

async fn count(
    request: Request<CountRequest>,
) -> Result<Response<impl Stream<Item = Result<CountReply, Status>>>, Status> {
    let numbers = 1..=request.into_inner().up_to;
    let replies = numbers.map(|number| Ok(CountReply { number }));
    Ok(Response::new(stream::iter(replies)))
}

#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "demo.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        async move {
            Ok(match request.uri().path() {
                SAY => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.unary(service_fn(say), request).await
                }
                COUNT => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.server_streaming(service_fn(count), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        }
        .boxed()
    }
}

struct Client(tonic::client::Grpc<Channel>);

impl Client {
    async fn say(&mut self, name: &str) -> Result<String, Status> {
        self.ready().await?;
        let request = Request::new(SayRequest { name: name.into() });
        let path = PathAndQuery::from_static(SAY);
        let codec = ProstCodec::<_, SayReply>::default();
        let reply = self.0.unary(request, path, codec).await?;
        Ok(reply.into_inner().text)
    }

    async fn count(&mut self, up_to: u32) -> Result<String, Status> {
        self.ready().await?;
        let request = Request::new(CountRequest { up_to });
        let path = PathAndQuery::from_static(COUNT);
        let codec = ProstCodec::<_, CountReply>::default();
        let reply = self.0.server_streaming(request, path, codec).await?;
        let mut numbers = reply.into_inner();
        let mut counted = Vec::new();
        while let Some(reply) = numbers.message().await? {
            counted.push(reply.number.to_string());
        }
        Ok(counted.join(", "))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))
    }
}
