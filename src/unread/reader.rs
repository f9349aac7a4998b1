use crate::timers::timer_at;
use bytes::Buf;
use http_body::Body;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// How many frames the reader reads before it yields to other tasks.
const FRAMES_AT_ONCE: usize = 64;

/// Why a reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The body has ended.
    Ended,
    /// The body failed: the client has closed the connection, or sent invalid HTTP.
    Broken,
    /// A bound was reached.
    Bound,
}

/// The bounds of one read.
#[derive(Clone, Copy)]
pub(super) struct ReadLimits {
    pub(super) silence: Duration,
    pub(super) time: Duration,
    pub(super) bytes: u64,
}

/// Reads a body and drops its data.
pub(super) struct BodyReader {
    // The mutex is never locked. It makes the reader `Sync`, as the futures of
    // probes have to be, also where the body is not.
    body: Mutex<Pin<Box<dyn Frames + Send>>>,
}

impl BodyReader {
    pub(super) fn new(body: impl Body + Send + 'static) -> Self {
        let body: Pin<Box<dyn Frames + Send>> = Box::pin(body);
        Self {
            body: Mutex::new(body),
        }
    }

    /// Reads until the body ends or a bound is reached.
    pub(super) async fn read(&mut self, limits: ReadLimits) -> Stop {
        let mut bytes_left = limits.bytes;
        let mut clock = Clock::new(limits);
        poll_fn(|cx| {
            for _ in 0..FRAMES_AT_ONCE {
                let length = match self.body().poll_length(cx) {
                    Poll::Ready(Some(Ok(length))) => length,
                    Poll::Ready(Some(Err(Failed))) => return Poll::Ready(Stop::Broken),
                    Poll::Ready(None) => return Poll::Ready(Stop::Ended),
                    Poll::Pending => return clock.poll(cx).map(|()| Stop::Bound),
                };
                match bytes_left.checked_sub(length) {
                    Some(left) => bytes_left = left,
                    None => return Poll::Ready(Stop::Bound),
                }
                clock.restart_silence();
            }
            if clock.is_over() {
                return Poll::Ready(Stop::Bound);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn body(&mut self) -> Pin<&mut (dyn Frames + Send)> {
        let body = self.body.get_mut();
        body.unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_mut()
    }
}

/// Measures the time limits of a reader.
struct Clock {
    silence: Duration,
    end: Instant,
    /// When the wait for the next frame ends. `None` after a frame, until the body
    /// is pending.
    deadline: Option<Instant>,
    has_waited: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn new(limits: ReadLimits) -> Self {
        Self {
            silence: limits.silence,
            end: Instant::now() + limits.time,
            deadline: None,
            has_waited: false,
            timer: None,
        }
    }

    /// Restarts the bound on silence after a frame.
    fn restart_silence(&mut self) {
        self.deadline = None;
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits while the body is pending. Completes at the deadline, or at once
    /// without a timer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => {
                let deadline = self.end.min(Instant::now() + self.silence);
                *self.deadline.insert(deadline)
            }
        };
        if !self.has_waited && tokio::runtime::Handle::try_current().is_ok() {
            // hyper reads the first bytes of a body only after the first poll, and
            // then has most bodies in whole. Those bodies need no timer.
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let timer = match &mut self.timer {
            Some(timer) => timer,
            timer => match timer_at(deadline) {
                Some(new) => timer.insert(new),
                None => return Poll::Ready(()),
            },
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            // Each frame moves the deadline, but resetting the timer each time would
            // cost more, so it is reset when it fires.
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

/// A body with its types erased.
trait Frames {
    /// The length of the next frame, or `None` at the end.
    fn poll_length(self: Pin<&mut Self>, cx: &mut Context<'_>)
    -> Poll<Option<Result<u64, Failed>>>;
}

struct Failed;

impl<B: Body> Frames for B {
    fn poll_length(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<u64, Failed>>> {
        // `is_end_stream` shows the end of a body without another poll.
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        self.poll_frame(cx).map(|frame| {
            let frame = frame?;
            let length = |frame: http_body::Frame<B::Data>| {
                let data = frame.data_ref();
                data.map_or(0, |data| data.remaining() as u64)
            };
            Some(frame.map(length).map_err(|_| Failed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::{cell::Cell, convert::Infallible};
    use tokio_test::{assert_pending, task};

    #[tokio::test(start_paused = true)]
    async fn other_tasks_get_their_turn_while_frames_arrive() {
        thread_local!(static READ: Cell<usize> = const { Cell::new(0) });
        let frames = stream::repeat_with(|| {
            READ.set(READ.get() + 1);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        let mut reader = BodyReader::new(StreamBody::new(frames));
        let limits = ReadLimits {
            silence: Duration::from_secs(1),
            time: Duration::from_secs(1),
            bytes: 6_400,
        };
        let mut reading = task::spawn(reader.read(limits));
        assert_pending!(reading.poll());
        assert!(reading.is_woken());
        assert_eq!(READ.get(), 64);
    }
}
