use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The bytes of large answers at which rendering stops. It counts answers to
/// requests in progress, answers in connections whose peer does not read, and the
/// cached answers. The answer that crosses the limit is still rendered.
const MAX_BYTES_IN_USE: usize = 32 << 20;

/// Counts the bytes of large answers, until the last response that shares them is
/// dropped. Takes no lock.
#[derive(Clone, Default)]
pub(crate) struct UnreadAnswers {
    bytes_in_use: Arc<AtomicUsize>,
}

impl UnreadAnswers {
    /// Whether no further large answer may be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes_in_use.load(Ordering::Relaxed) >= MAX_BYTES_IN_USE
    }

    /// Returns the body of an answer, and counts it.
    pub(crate) fn count(&self, rendered: String) -> Bytes {
        Bytes::from_owner(CountedBytes::new(rendered, &self.bytes_in_use))
    }
}

/// The bytes of an answer.
struct CountedBytes {
    bytes: Box<str>,
    bytes_in_use: Arc<AtomicUsize>,
}

impl CountedBytes {
    fn new(rendered: String, bytes_in_use: &Arc<AtomicUsize>) -> Self {
        let bytes = rendered.into_boxed_str();
        bytes_in_use.fetch_add(bytes.len(), Ordering::Relaxed);
        Self {
            bytes,
            bytes_in_use: Arc::clone(bytes_in_use),
        }
    }
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.bytes_in_use
            .fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
