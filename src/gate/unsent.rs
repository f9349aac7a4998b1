use super::outcome_tracker::OutcomeTracker;
use bytes::Bytes;

/// From how many bytes on the last piece of a body is watched. A smaller one fits
/// into the send buffer of a socket, mostly, and goes on from there by itself.
const LARGE: usize = 64 << 10;

/// The last piece of a body that is still in flight.
struct Unsent {
    data: Bytes,
    _until_it_is_sent: OutcomeTracker,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Whether the last piece of a body is to be [watched](watch).
#[inline]
pub(super) fn is_large(data: Option<&Bytes>) -> bool {
    data.is_some_and(|data| data.len() >= LARGE)
}

/// Lets the last piece of a body carry what the response leaves behind, so that
/// the request is in flight until the server lets go of the bytes.
///
/// A server drops a body as soon as it has all of it, while a slow client may
/// need a minute for what the server then holds: hyper puts no bound on a single
/// piece. A process that drains would take the response for one that has been
/// received, and end.
#[cold]
pub(super) fn watch(data: Bytes, outcome_tracker: OutcomeTracker) -> Bytes {
    Bytes::from_owner(Unsent {
        data,
        _until_it_is_sent: outcome_tracker,
    })
}
