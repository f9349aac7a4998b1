use axum::{
    Extension,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::Response,
};
use std::pin::pin;
use tower_readiness::connections::Retiring;

/// The handler of the websocket.
pub async fn chat(Extension(retiring): Extension<Retiring>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| echo(socket, retiring))
}

async fn echo(mut socket: WebSocket, retiring: Retiring) {
    let mut retired = pin!(retiring.requested());
    loop {
        let message = tokio::select! {
            () = &mut retired => break,
            message = socket.recv() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
    let away = CloseFrame {
        code: close_code::AWAY,
        reason: "retiring".into(),
    };
    if socket.send(Message::Close(Some(away))).await.is_ok() {
        // Until the client has closed its side too.
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
