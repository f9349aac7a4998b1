//! The gate in a server of hyper 0.14, which has the types of `http` 0.2: the layer does not
//! fit there, so the server asks the same gate itself.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --manifest-path examples/hyper_0_14/Cargo.toml
//! PORT=8080 cargo run --manifest-path examples/hyper_0_14/Cargo.toml
//! ```

mod body;
mod convert;

use self::{
    body::InFlightBody,
    convert::{Error, head_of, response_of},
};
use hyper::{
    Body, Method, Request, Response, Server, StatusCode,
    header::{CONNECTION, HeaderValue},
    server::conn::AddrIncoming,
    service::{Service, make_service_fn, service_fn},
};
use std::{
    convert::Infallible,
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, time::sleep};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reporter, Subsystem,
    gate::DirectGate,
    probe::{Detail, Probes},
};

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
    let layer = ReadinessLayer::gate(&readiness)
        .when_starting(Action::hold(Duration::from_secs(2))?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = Arc::new(App {
        // Tells each client the reasons: for a demo only.
        probes: Probes::builder(&readiness).detail(Detail::Full).build()?,
        gate: layer.direct(),
        storage: readiness.reporter("storage")?,
    });

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = AddrIncoming::bind(&(Ipv4Addr::LOCALHOST, port).into())?;
    print_walk_through(listener.local_addr());
    let connections = make_service_fn(|_| {
        let app = Arc::clone(&app);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { app.answer(request).await }
        });
        async { Ok::<_, Infallible>(service) }
    });
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    let server = Server::builder(listener).serve(connections);
    readiness
        .run(server.with_graceful_shutdown(shutdown))
        .await??;
    println!("Drained.");
    Ok(())
}

struct App {
    probes: Probes,
    gate: DirectGate,
    storage: Reporter,
}

impl App {
    /// As the layer does elsewhere: answers probes, asks the gate, and counts the request as
    /// in flight until the body of the response has ended.
    async fn answer(&self, request: Request<Body>) -> Result<Response<InFlightBody>, Error> {
        let head = head_of(&request)?;
        if self.is_probe(head.uri().path()) {
            let Ok(response) = self.probes.clone().call(head).await;
            return response_of(response).await;
        }
        let admitted = match self.gate.decide_or_hold(&head).await {
            Ok(admitted) => admitted,
            Err(refusal) => return response_of(self.gate.response(refusal, &head)).await,
        };
        let mut response = self.handle(&request);
        if admitted.closes_connection() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().entry(CONNECTION).or_insert(close);
        }
        Ok(response.map(|body| InFlightBody::new(body, Some(admitted))))
    }

    fn is_probe(&self, path: &str) -> bool {
        let below = |probe| path.strip_prefix(probe);
        let mut below = self.probes.paths().filter_map(|(probe, _)| below(probe));
        below.any(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The application.
    fn handle(&self, request: &Request<Body>) -> Response<Body> {
        let body = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => "hello\n".into(),
            (&Method::GET, "/slow") => slow(),
            (&Method::POST, "/demo/storage/ready") => {
                self.storage.ready();
                "storage is ready\n".into()
            }
            (&Method::POST, "/demo/storage/failing") => {
                self.storage.failing("connection refused");
                "storage fails\n".into()
            }
            _ => {
                let mut response = Response::new("not found\n".into());
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            }
        };
        Response::new(body)
    }
}

/// A body of three lines, one a second.
fn slow() -> Body {
    let (mut sender, body) = Body::channel();
    tokio::spawn(async move {
        for line in ["one\n", "two\n", "three\n"] {
            if sender.send_data(line.into()).await.is_err() {
                return; // the client is gone
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    body
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Serving on http://{address}.

Storage has not come up: requests wait for 2 seconds, then get 503 with x-readiness: starting
  curl -i http://{address}/
  curl -i http://{address}/readyz

Storage comes up, fails and comes back; the process is alive all the time
  curl -X POST http://{address}/demo/storage/ready
  curl -i http://{address}/
  curl -I http://{address}/
  curl -X POST http://{address}/demo/storage/failing
  curl -i http://{address}/
  curl -i http://{address}/readyz
  curl -i http://{address}/livez
  curl -X POST http://{address}/demo/storage/ready

In flight until its last line: end the process meanwhile
  curl -N http://{address}/slow

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}
