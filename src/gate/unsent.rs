use super::outcome_tracker::OutcomeTracker;
use bytes::Bytes;

/// The last piece of a body is tracked from this many bytes on. The kernel's send
/// buffer mostly takes a smaller piece in whole, and sends it by itself.
const LARGE: usize = 64 << 10;

/// The last piece of a body, with the tracker of its response.
struct Unsent {
    data: Bytes,
    _until_it_is_sent: OutcomeTracker,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Whether [`track`] has to track the last piece of a body.
#[inline]
pub(super) fn is_large(data: Option<&Bytes>) -> bool {
    data.is_some_and(|data| data.len() >= LARGE)
}

/// Attaches the tracker of a response to the last piece of its body, so that the
/// request is in flight until the server drops the bytes.
///
/// A server drops a body as soon as it has all frames, while a slow client may
/// need a minute to receive the last: hyper puts no bound on a single frame.
/// Without this, a draining process would take the response for sent, and end.
#[cold]
pub(super) fn track(data: Bytes, outcome_tracker: OutcomeTracker) -> Bytes {
    Bytes::from_owner(Unsent {
        data,
        _until_it_is_sent: outcome_tracker,
    })
}
