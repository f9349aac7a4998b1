use crate::threads::ask_all;
use tracing::{
    Level, Metadata, callsite::DefaultCallsite, level_filters::LevelFilter, metadata::Kind,
};

/// The levels of which a subscriber may want the crate's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted(u8);

/// A callsite that stands for all lines of a level. It never emits an event:
/// tracing caches the interest of the subscribers in it.
///
/// Asking a subscriber whether an event is *enabled*, without then emitting it,
/// would make filters of single layers (of tracing-subscriber) lose the next
/// event of the thread.
macro_rules! callsite {
    ($level:expr) => {{
        static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
        static METADATA: Metadata<'static> = tracing::metadata! {
            name: "line",
            target: super::event::TARGET,
            level: $level,
            fields: &["message", "version", "subsystem", "reason"],
            callsite: &CALLSITE,
            kind: Kind::EVENT,
        };
        ($level, &CALLSITE)
    }};
}

impl Wanted {
    /// The wanted levels. `None` if no subscriber is set, or if the subscriber
    /// wants no events at all.
    pub(super) fn now() -> Option<Self> {
        let most_verbose = LevelFilter::current();
        if most_verbose == LevelFilter::OFF {
            return None;
        }
        ask_all();
        let levels: [(Level, &'static DefaultCallsite); 4] = [
            callsite!(Level::ERROR),
            callsite!(Level::WARN),
            callsite!(Level::INFO),
            callsite!(Level::DEBUG),
        ];
        let mut wanted = Self::default();
        for (level, callsite) in levels {
            if level <= most_verbose && !callsite.interest().is_never() {
                wanted.0 |= Self::bit(level);
            }
        }
        Some(wanted)
    }

    fn bit(level: Level) -> u8 {
        match level {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 4,
            _ => 8,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn contains(self, level: Level) -> bool {
        self.0 & Self::bit(level) != 0
    }
}
