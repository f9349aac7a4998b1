//! Streams that do not end by themselves: the server's side. Each sends messages until its
//! connection retires, and then says goodbye; without the signal it never does.

use axum::{
    Extension, Router,
    body::Body,
    extract::{
        Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{Stream, StreamExt, future::pending, stream};
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::time::sleep;
use tonic::Status;
use tonic_prost::ProstCodec;
use tower::service_fn;
use tower_readiness::connections::Retiring;

/// The last message of each stream. Those before it are the name of the replica.
pub(crate) const GOODBYE: &str = "goodbye";
pub(crate) const GRPC: &str = "/lab.Streams/Watch";
const MESSAGE_EVERY: Duration = Duration::from_secs(1);

type Name = State<Arc<str>>;
type Signal = Option<Extension<Retiring>>;

pub(crate) fn router(replica: &str) -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/websocket", get(websocket))
        .route(GRPC, post(grpc))
        .with_state(replica.into())
}

fn messages(name: Arc<str>, retiring: Option<Retiring>) -> impl Stream<Item = String> + Send {
    let retired = async move {
        match retiring {
            Some(retiring) => retiring.requested().await,
            None => pending().await,
        }
    };
    let names = stream::unfold(Duration::ZERO, move |wait| {
        let name = name.to_string();
        async move {
            sleep(wait).await;
            Some((name, MESSAGE_EVERY))
        }
    });
    let goodbye = stream::iter([GOODBYE.to_owned()]);
    names.take_until(retired).chain(goodbye)
}

async fn events(State(name): Name, retiring: Signal) -> impl IntoResponse {
    let messages = messages(name, retiring.map(|retiring| retiring.0));
    let events = messages.map(|text| Ok::<_, Infallible>(format!("data: {text}\n\n")));
    let head = [(CONTENT_TYPE, "text/event-stream")];
    (head, Body::from_stream(events))
}

async fn websocket(State(name): Name, retiring: Signal, upgrade: WebSocketUpgrade) -> Response {
    let messages = messages(name, retiring.map(|retiring| retiring.0));
    upgrade.on_upgrade(|socket| send(socket, messages))
}

async fn send(mut socket: WebSocket, messages: impl Stream<Item = String>) {
    let mut messages = pin!(messages);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(text) = message else { break };
                if socket.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
            // The client sends nothing but its end.
            received = socket.recv() => if received.is_none_or(|message| message.is_err()) {
                return;
            },
        }
    }
    let close = CloseFrame {
        code: close_code::AWAY,
        reason: "".into(),
    };
    if socket.send(Message::Close(Some(close))).await.is_ok() {
        // Until the client has answered, and closed.
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

async fn grpc(State(name): Name, request: Request) -> Response {
    let watch = service_fn(move |request: tonic::Request<()>| {
        let retiring = request.extensions().get::<Retiring>().cloned();
        let messages = messages(Arc::clone(&name), retiring);
        async { Ok::<_, Status>(tonic::Response::new(Box::pin(messages.map(Ok)))) }
    });
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, ()>::default());
    grpc.server_streaming(watch, request).await.into_response()
}
