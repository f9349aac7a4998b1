use std::fmt;

/// The id of an event: `{instance}.{version}`.
///
/// Versions of two processes are unrelated, so the instance tells whose version it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) instance: u64,
    pub(super) version: u64,
}

impl EventId {
    /// Parses an id. `None` if it is not in the form in which this listener writes it.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (instance, version) = id.split_once('.')?;
        let parsed = Self {
            instance: u64::from_str_radix(instance, 16).ok()?,
            version: version.parse().ok()?,
        };
        // The parsers also accept signs and other spellings of the same number.
        (parsed.to_string() == id).then_some(parsed)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.instance, self.version)
    }
}

/// The fuzz target of the header `last-event-id`; see `src/fuzzing.rs`.
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub fn last_event_id(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(id) = EventId::parse(&text) {
        assert_eq!(id.to_string(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_parsed_as_it_is_written() {
        for (instance, version) in [(0, 0), (1, 7), (u64::MAX, u64::MAX)] {
            let id = EventId { instance, version };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
        for bad in [
            "",
            ".",
            "1.7",
            "0000000000000001",
            "0000000000000001.",
            "0000000000000001.+7",
            "+000000000000001.7",
            "0000000000000001.07",
            "000000000000000A.7",
            "0000000000000001.7 ",
            "0000000000000001.7.8",
            "0000000000000001.99999999999999999999",
            "é.1",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
