use super::{
    bounds::{Bounds, UnreadBody},
    linger::{LingerSlots, linger, until_written},
    reader::{BodyReader, ReadLimits, Stop},
};
use crate::response::{Answer, OwnResponse};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Version,
    header::{CONNECTION, EXPECT},
};
use http_body::Body;

/// The bounds for the unread bodies of a layer, and the slots of bodies that are
/// read after their answers.
#[derive(Clone, Default)]
pub(crate) struct UnreadBodies {
    pub(crate) bounds: UnreadBody,
    slots: LingerSlots,
}

/// The window of a new stream of HTTP/2 (RFC 9113, section 6.9.2): so many bytes a client
/// sends before it has read anything, so they are on their way.
const HTTP2_WINDOW: u64 = 65_535;

/// The body of a request that is answered without its handler, if it has not ended.
struct Unread {
    reader: BodyReader,
    bounds: Bounds,
    slots: LingerSlots,
    is_http1: bool,
    /// Whether the answer goes out before the body is read.
    answer_first: bool,
    /// Whether the client waits for 100 before it sends the body.
    expects_continue: bool,
}

impl UnreadBodies {
    /// Delays the answer to a request that does not reach its handler until its body
    /// is read as far as the bounds allow. Returns `answer` unchanged if the body has
    /// ended, and on HTTP/2 unless the body is small.
    #[inline]
    pub(crate) fn read_before<B>(&self, answer: Answer, request: Request<B>) -> Answer
    where
        B: Body + Send + 'static,
    {
        if request.body().is_end_stream() || !(is_http1(&request) || is_on_its_way(&request)) {
            return answer;
        }
        match self.take_body(request) {
            None => answer,
            Some(unread) => Answer::later(async { unread.settle(answer.await).await }),
        }
    }

    #[cold]
    fn take_body<B>(&self, request: Request<B>) -> Option<Unread>
    where
        B: Body + Send + 'static,
    {
        let bounds = self.bounds.0?;
        let is_http1 = is_http1(&request);
        let expects_continue = is_http1 && expects_continue(&request);
        let is_long = request.body().size_hint().lower() > bounds.drain_bytes;
        Some(Unread {
            reader: BodyReader::new(request.into_body()),
            bounds,
            slots: self.slots.clone(),
            is_http1,
            answer_first: expects_continue || is_long,
            expects_continue,
        })
    }
}

impl Unread {
    /// Reads the body within the bounds before the answer, and returns the answer. On
    /// HTTP/1, adds `connection: close` if the body has not ended, and reads on in a task.
    async fn settle(mut self, mut response: OwnResponse) -> OwnResponse {
        let stop = if self.answer_first {
            Stop::Bound
        } else {
            let limits = ReadLimits {
                silence: self.bounds.drain_silence,
                time: self.bounds.drain_time,
                bytes: self.bounds.drain_bytes,
            };
            self.reader.read(limits).await
        };
        if !self.is_http1 {
            return response;
        }
        if stop != Stop::Ended {
            announce_close(response.status(), response.headers_mut());
        }
        if stop == Stop::Bound {
            // Reading starts after the head is written: hyper sends 100 if the body
            // is polled before (RFC 9110, section 10.1.1).
            let written = self.expects_continue.then(|| {
                let (until_written, written) = until_written();
                response.extensions_mut().insert(until_written);
                written
            });
            linger(self.reader, self.bounds, &self.slots, written);
        }
        response
    }
}

fn is_http1<B>(request: &Request<B>) -> bool {
    matches!(request.version(), Version::HTTP_10 | Version::HTTP_11)
}

/// Whether the client sends the whole body without waiting for the server.
fn is_on_its_way<B: Body>(request: &Request<B>) -> bool {
    let length = request.body().size_hint().exact();
    length.is_some_and(|length| length <= HTTP2_WINDOW) && !expects_continue(request)
}

/// Whether the client waits for 100 before it sends the body. HTTP/1.0 has no 100.
fn expects_continue<B>(request: &Request<B>) -> bool {
    let expect = request.headers().get(EXPECT);
    request.version() != Version::HTTP_10
        && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Adds `connection: close`. Connection options of a responder stay, and `close`
/// overrides them (RFC 9112, section 9.3).
fn announce_close(status: StatusCode, headers: &mut HeaderMap) {
    let closes = |value: &HeaderValue| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    let is_announced = headers.get_all(CONNECTION).iter().any(closes);
    if !is_announced && status != StatusCode::SWITCHING_PROTOCOLS {
        headers.append(CONNECTION, HeaderValue::from_static("close"));
    }
}
