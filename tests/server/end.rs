use crate::{
    ANYWHERE,
    clients::{Raw, head, http2, request, send, status},
    port,
    support::{ready, soon, starting},
};
use std::io::ErrorKind;
use tokio::{net::TcpStream, runtime};
use tower_readiness::server::AdminListener;

#[tokio::test]
async fn dropping_the_handle_does_not_stop_it() {
    let (readiness, _storage) = ready();
    for server in [
        readiness.serve(ANYWHERE).await.unwrap(),
        readiness.serve_on_thread(ANYWHERE).unwrap(),
    ] {
        let address = port(&server);
        let mut connection = Raw::open(address).await;
        assert_eq!(connection.get("/livez").await.0, 200);
        drop(server);
        assert_eq!(connection.get("/livez").await.0, 200);
        assert_eq!(status(address, "/livez").await, 200);
    }
}

#[tokio::test]
async fn stopped_it_frees_the_port_and_ends_its_connections() {
    let (readiness, _storage) = starting();
    let listener = || AdminListener::new(&readiness).with_http2();
    for server in [
        listener().serve(ANYWHERE).await.unwrap(),
        listener().serve_on_thread(ANYWHERE).unwrap(),
    ] {
        let address = port(&server);
        let mut silent = Raw::open(address).await;
        let mut half = Raw::open(address).await;
        half.write("GET /livez HTTP/1.1\r\n").await;
        let mut kept = Raw::open(address).await;
        assert_eq!(kept.get("/livez").await.0, 200);
        let mut waiting = Raw::open(address).await;
        waiting.write(&head("/readyz?wait=60")).await;
        let (mut sender, connection) = http2(address).await;
        assert_eq!(send(&mut sender, request("/livez")).await.status(), 200);

        server.stop();
        soon(server.stopped()).await;
        soon(connection).await.unwrap().unwrap();
        for connection in [&mut silent, &mut half, &mut kept, &mut waiting] {
            connection.is_closed_without_a_word().await;
        }
        let again = readiness.serve(address).await.unwrap();
        assert_eq!(status(port(&again), "/livez").await, 200);
        // Told again, or asked again, nothing happens.
        server.stop();
        soon(server.stopped()).await;
        assert_eq!(status(port(&again), "/livez").await, 200);
    }
}

#[test]
fn it_ends_with_the_runtime_it_runs_in() {
    let (readiness, _storage) = ready();
    let runtime = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let its_own = runtime();
    let server = its_own.block_on(readiness.serve(ANYWHERE)).unwrap();
    drop(its_own);
    runtime().block_on(async {
        soon(server.stopped()).await;
        let error = TcpStream::connect(port(&server)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}
