use super::{
    accept::Format,
    question::{Detail, Question, Target},
    route::Probe,
};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// From how many bytes on an answer is shared. A shorter one costs less than a
/// connection does, so its ages and counts can be of the moment.
const LONG: usize = 16 << 10;

/// How old the ages and counts of a shared answer may be.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How many bytes of long answers there may be at a time: in requests that are
/// being answered, in connections whose peer does not read, and in the last
/// answers, which are kept. One more answer than these may be rendered.
const MAX_HELD: usize = 32 << 20;

/// The last long answer in each format, for all requests that ask the same in the
/// same second: a client that asks for thousands of subsystems again and again
/// keeps no probe waiting, and clients that read no answer hold the same bytes.
///
/// Takes no lock.
#[derive(Default)]
pub(super) struct LongAnswers {
    text: ArcSwapOption<Kept>,
    json: ArcSwapOption<Kept>,
    held: Arc<AtomicUsize>,
}

/// An answer, and what it is the answer to.
struct Kept {
    probe: Probe,
    target: Target,
    verbose: bool,
    detail: Detail,
    version: u64,
    at: Instant,
    body: Bytes,
}

impl LongAnswers {
    /// The answer to a question that lists subsystems, or `None` if too many
    /// bytes are held already.
    pub(super) fn get_or_render(
        &self,
        question: &Question,
        detail: Detail,
        version: u64,
        now: Instant,
        render: impl FnOnce() -> String,
    ) -> Option<Bytes> {
        let last = match question.format {
            Format::Text => &self.text,
            Format::Json => &self.json,
        };
        // What is left out or not understood is rarely asked twice.
        let query = &question.query;
        let is_shared = query.exclude.is_empty() && query.unclear_verbose.is_none();
        if is_shared {
            if let Some(kept) = &*last.load() {
                if kept.answers(question, detail, version, now) {
                    return Some(kept.body.clone());
                }
            }
        }
        if self.held.load(Ordering::Relaxed) >= MAX_HELD {
            // It may be what fills the budget, and it is too old.
            last.store(None);
            return None;
        }
        let rendered = render();
        if rendered.len() < LONG {
            return Some(rendered.into());
        }
        let body = Bytes::from_owner(Held::new(rendered, &self.held));
        if is_shared {
            last.store(Some(Arc::new(Kept {
                probe: question.probe,
                target: question.target.clone(),
                verbose: query.verbose,
                detail,
                version,
                at: now,
                body: body.clone(),
            })));
        }
        Some(body)
    }
}

impl Kept {
    fn answers(&self, question: &Question, detail: Detail, version: u64, now: Instant) -> bool {
        self.version == version
            && now.saturating_duration_since(self.at) < MAX_AGE
            && self.probe == question.probe
            && self.verbose == question.query.verbose
            && self.detail == detail
            && self.target == question.target
    }
}

/// The bytes of an answer, counted until the last response that shares them is dropped.
struct Held {
    bytes: Box<str>,
    held: Arc<AtomicUsize>,
}

impl Held {
    fn new(rendered: String, held: &Arc<AtomicUsize>) -> Self {
        let bytes = rendered.into_boxed_str();
        held.fetch_add(bytes.len(), Ordering::Relaxed);
        Self {
            bytes,
            held: Arc::clone(held),
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
