//! Clients that each have one stream open, and open the next one when it has ended. A
//! stream is broken if it ends otherwise than by the last message of its handler.

use super::clients::Protocol;
use crate::{
    client::{Failure, chain, unanswered},
    kept::{Departures, Peer, connect},
    streams::{GOODBYE, GRPC},
    tally::{Cause, Outcome, What},
};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::StreamExt;
use http::{Request, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::Message;
use tonic::{client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

/// In seconds: before the first stream, and after a broken one.
const PAUSE: (f64, f64) = (0.1, 1.0);

pub(super) struct Client {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    pub(super) rng: Rng,
    pub(super) start: Instant,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) departures: Departures,
    pub(super) outcomes: mpsc::UnboundedSender<Outcome>,
}

impl Client {
    /// Returns the replica at the other end when it is told to stop.
    pub(super) async fn run(mut self) -> Option<String> {
        // Lazily, because the channel connects again by itself.
        let channel = Channel::from_shared(format!("http://{}", self.address));
        let channel = channel.map(|endpoint| endpoint.connect_lazy()).ok()?;
        let mut pause = true;
        loop {
            let mut progress = Progress::default();
            if pause {
                sleep(super::clients::between(PAUSE, &mut self.rng)).await;
            }
            let opened = Instant::now();
            let stream = async {
                match self.protocol {
                    Protocol::Events => events(self.address, &mut progress).await,
                    Protocol::WebSocket => websocket(self.address, &mut progress).await,
                    _ => grpc(channel.clone(), &mut progress).await,
                }
            };
            let ended = tokio::select! { biased;
                // Also when the driver has ended.
                _ = self.stop.changed() => None,
                ended = stream => Some(ended),
            };
            let Some(ended) = ended else {
                return progress.peer.pod();
            };
            let failure = ended.and_then(|()| progress.end()).err();
            pause = failure.is_some();
            // On a channel that retires, the next stream ends with its first message.
            if progress.messages > 0 {
                let announced = progress.said_goodbye;
                progress.peer.announce(announced);
                self.departures.add(self.protocol.name(), progress.peer);
            }
            let outcome = Outcome {
                due: opened - self.start,
                lag: Duration::ZERO,
                latency: opened.elapsed(),
                what: What {
                    protocol: self.protocol.name(),
                    kind: "stream",
                    quick: false,
                    apart: false,
                },
                failure,
            };
            // The receiver outlives the clients.
            let _ = self.outcomes.send(outcome);
        }
    }
}

/// The messages of one stream so far.
#[derive(Default)]
struct Progress {
    peer: Peer,
    messages: usize,
    said_goodbye: bool,
}

impl Progress {
    fn message(&mut self, text: &str) -> Result<(), Failure> {
        if self.said_goodbye {
            let late = format!("{text} after the last message");
            return Err((Cause::WrongBody, late));
        }
        if text == GOODBYE {
            self.said_goodbye = true;
        } else {
            self.peer.set(text);
            self.messages += 1;
        }
        Ok(())
    }

    /// Judges a stream that has ended as its protocol has it.
    fn end(&self) -> Result<(), Failure> {
        if self.said_goodbye {
            Ok(())
        } else {
            Err(self.cut_short("no last message"))
        }
    }

    fn cut_short(&self, why: &str) -> Failure {
        let pod = self.peer.pod().unwrap_or_default();
        (Cause::CutShort, format!("{pod}: {why}"))
    }
}

async fn events(address: SocketAddr, progress: &mut Progress) -> Result<(), Failure> {
    let stream = connect(address).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unanswered(true, &error))?;
    // Ends with the sender.
    tokio::spawn(driver);
    let request = Request::get("/events")
        .header("host", "app")
        .body(Empty::<Bytes>::new())
        .map_err(|error| (Cause::WrongBody, error.to_string()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| unanswered(false, &error))?;
    let status = response.status();
    if !status.is_success() {
        return Err((Cause::Application(status.as_u16()), String::new()));
    }
    let mut body = response.into_body();
    let mut received = String::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| progress.cut_short(&chain(&error)))?;
        let data = frame.into_data().unwrap_or_default();
        received += &String::from_utf8_lossy(&data);
        while let Some((event, rest)) = received.split_once("\n\n") {
            let text = event.strip_prefix("data: ").unwrap_or(event);
            progress.message(text)?;
            received = rest.to_owned();
        }
    }
    Ok(())
}

async fn websocket(address: SocketAddr, progress: &mut Progress) -> Result<(), Failure> {
    let stream = connect(address).await?;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://app/websocket", stream)
        .await
        .map_err(|error| unanswered(false, &error))?;
    let mut is_closed = false;
    // The last item after a close frame is `None`; without one it is an error.
    while let Some(message) = socket.next().await {
        match message.map_err(|error| progress.cut_short(&chain(&error)))? {
            Message::Text(text) => progress.message(&text)?,
            Message::Close(_) => is_closed = true,
            _ => {}
        }
    }
    if is_closed {
        Ok(())
    } else {
        Err(progress.cut_short("no close frame"))
    }
}

async fn grpc(channel: Channel, progress: &mut Progress) -> Result<(), Failure> {
    let mut client = Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| unanswered(true, &error))?;
    let codec = ProstCodec::<(), String>::default();
    let path = PathAndQuery::from_static(GRPC);
    let response = client
        .server_streaming(tonic::Request::new(()), path, codec)
        .await
        .map_err(|status| unanswered(false, &status))?;
    let mut messages = response.into_inner();
    while let Some(text) = messages
        .message()
        .await
        .map_err(|status| progress.cut_short(&chain(&status)))?
    {
        progress.message(&text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(messages: &[&str]) -> Result<(), Failure> {
        let mut progress = Progress::default();
        for message in messages {
            progress.message(message)?;
        }
        progress.end()
    }

    #[test]
    fn a_stream_ends_well_by_its_last_message_alone() {
        assert_eq!(ends(&["s1", "s1", GOODBYE]), Ok(()));
        assert!(matches!(ends(&["s1"]), Err((Cause::CutShort, _))));
        assert!(matches!(ends(&[]), Err((Cause::CutShort, _))));
        let late = ends(&["s1", GOODBYE, "s1"]);
        assert!(matches!(late, Err((Cause::WrongBody, _))), "{late:?}");
    }
}
