//! A body that the test sends, and helpers of the tests.

use crate::support::starting;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::advance};
use tower_readiness::{
    ReadinessLayer,
    gate::{Refusal, UnreadBody},
};

pub const MILLISECOND: Duration = Duration::from_millis(1);

pub type Res = Response<Full<Bytes>>;

pub struct Sent {
    frames: mpsc::UnboundedReceiver<Result<Bytes, &'static str>>,
    pub length: Option<u64>,
    seen: Arc<Seen>,
}

#[derive(Default)]
pub struct Seen {
    polls: AtomicUsize,
    is_dropped: AtomicBool,
}

pub struct Sender {
    frames: Option<mpsc::UnboundedSender<Result<Bytes, &'static str>>>,
    seen: Arc<Seen>,
}

impl Sender {
    pub fn send(&self, length: usize) {
        let frame = Bytes::from(vec![0; length]);
        // The body may be dropped.
        let _ = self.frames.as_ref().unwrap().send(Ok(frame));
    }

    pub fn fail(&self) {
        let frames = self.frames.as_ref().unwrap();
        frames.send(Err("the client is gone")).unwrap();
    }

    pub fn end(&mut self) {
        self.frames = None;
    }

    pub fn polls(&self) -> usize {
        self.seen.polls.load(Ordering::SeqCst)
    }

    pub fn is_dropped(&self) -> bool {
        self.seen.is_dropped.load(Ordering::SeqCst)
    }
}

/// A body of unknown length, and its sender.
pub fn body() -> (Sender, Sent) {
    let (sender, frames) = mpsc::unbounded_channel();
    let seen = Arc::<Seen>::default();
    let sent = Sent {
        frames,
        length: None,
        seen: Arc::clone(&seen),
    };
    let sender = Sender {
        frames: Some(sender),
        seen,
    };
    (sender, sent)
}

impl Body for Sent {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.seen.polls.fetch_add(1, Ordering::SeqCst);
        let frame = self.frames.poll_recv(cx);
        frame.map(|frame| frame.map(|frame| frame.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.seen.is_dropped.store(true, Ordering::SeqCst);
    }
}

pub fn post(body: Sent) -> Request<Sent> {
    Request::post("/").body(body).unwrap()
}

pub async fn application(_: Request<Sent>) -> Result<Res, Infallible> {
    Ok(Response::new(Full::from("served")))
}

/// A layer that refuses everything, on these bounds.
pub fn refusing(bounds: UnreadBody) -> ReadinessLayer {
    let (readiness, storage) = starting();
    storage.failing("gone");
    ReadinessLayer::new(&readiness).unread_body(bounds)
}

pub fn options<B>(response: &Response<B>) -> Vec<&str> {
    let options = response.headers().get_all(header::CONNECTION);
    options
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

pub fn is_refusal<B>(response: &Response<B>) -> bool {
    response.status() == 503 && response.extensions().get::<Refusal>().is_some()
}

/// Lets the tasks of the runtime run until they wait.
pub async fn others_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

pub async fn pass(time: Duration) {
    others_run().await;
    advance(time).await;
    others_run().await;
}
