//! The form of an answer, by which a client checks that the answer is whole, from
//! exactly one run of a handler, and for its own request.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
};

pub(crate) const REQUEST_ID: &str = "x-request-id";
pub(crate) const REPLICA: &str = "x-replica";

const FILLER: &str = "the quick brown fox jumps over the lazy dog, once more and again";

/// One run of a handler. Each line of its answer begins with the tag of the
/// run and the number of the line.
pub(crate) struct Run {
    id: String,
    tag: u64,
    lines: u32,
}

impl Run {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            tag: fastrand::u64(..),
            lines: 0,
        }
    }

    pub(crate) fn begin(&mut self) -> String {
        let text = format!("begin {}", self.id);
        self.line(&text)
    }

    pub(crate) fn data(&mut self) -> String {
        self.line(FILLER)
    }

    pub(crate) fn end(&mut self) -> String {
        let text = format!("end {}", self.id);
        self.line(&text)
    }

    /// A whole answer; the answer to an upload has its length and sum.
    pub(crate) fn whole(mut self, upload: Option<&Received>) -> String {
        let mut text = self.begin();
        if let Some(upload) = upload {
            text += &self.line(&upload.to_string());
        }
        for _ in 0..4 {
            text += &self.data();
        }
        text + &self.end()
    }

    fn line(&mut self, text: &str) -> String {
        let number = self.lines;
        self.lines += 1;
        format!("{:016x} {number} {text}\n", self.tag)
    }
}

/// The length and the sum of an upload.
#[derive(Default)]
pub(crate) struct Received {
    bytes: u64,
    hasher: DefaultHasher,
}

impl Received {
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.hasher.write(chunk);
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.bytes, self.hasher.finish())
    }
}

/// A flaw of the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    CutShort,
    Wrong(String),
}

/// Whether `body` is the whole answer to the request `id`, which uploaded
/// `upload`.
pub(crate) fn judge(body: &[u8], id: &str, upload: Option<&Received>) -> Result<(), Flaw> {
    let text = std::str::from_utf8(body).map_err(|error| Flaw::Wrong(error.to_string()))?;
    let tag = text.get(..16).ok_or(Flaw::CutShort)?;
    let upload = upload.map(Received::to_string);
    let end = format!("end {id}\n");
    let mut ended = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let expected = match (number, &upload) {
            (0, _) => format!("{tag} {number} begin {id}\n"),
            (1, Some(upload)) => format!("{tag} {number} {upload}\n"),
            _ => format!("{tag} {number} "),
        };
        let Some(rest) = line.strip_prefix(&expected) else {
            // Only the last line can be without its end.
            if !line.ends_with('\n') && expected.starts_with(line) {
                return Err(Flaw::CutShort);
            }
            return Err(Flaw::Wrong(line.trim_end().to_owned()));
        };
        ended = rest == end;
    }
    if ended { Ok(()) } else { Err(Flaw::CutShort) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str) -> String {
        Run::new(id.to_owned()).whole(None)
    }

    #[test]
    fn whole_answer_to_its_own_request_is_accepted() {
        assert_eq!(judge(answer("7").as_bytes(), "7", None), Ok(()));
    }

    #[test]
    fn every_shorter_answer_is_cut_short() {
        let whole = answer("7");
        for length in 0..whole.len() {
            let flaw = judge(&whole.as_bytes()[..length], "7", None);
            assert_eq!(flaw, Err(Flaw::CutShort), "{length} bytes");
        }
    }

    #[test]
    fn answer_to_another_request_is_wrong() {
        let flaw = judge(answer("8").as_bytes(), "7", None);
        assert!(matches!(flaw, Err(Flaw::Wrong(_))), "{flaw:?}");
    }

    #[test]
    fn answers_of_two_runs_in_one_are_wrong() {
        let both = answer("7") + &answer("7");
        let flaw = judge(both.as_bytes(), "7", None);
        assert!(matches!(flaw, Err(Flaw::Wrong(_))), "{flaw:?}");
    }

    #[test]
    fn answer_with_a_hole_is_wrong() {
        let whole = answer("7");
        let hole: Vec<_> = whole.split_inclusive('\n').collect();
        let hole = [&hole[..2], &hole[3..]].concat().concat();
        let flaw = judge(hole.as_bytes(), "7", None);
        assert!(matches!(flaw, Err(Flaw::Wrong(_))), "{flaw:?}");
    }

    #[test]
    fn upload_has_to_arrive_as_it_was_sent() {
        let mut sent = Received::default();
        sent.add(b"one two");
        let mut arrived = Received::default();
        arrived.add(b"one ");
        arrived.add(b"two");
        let whole = Run::new("7".to_owned()).whole(Some(&arrived));
        assert_eq!(judge(whole.as_bytes(), "7", Some(&sent)), Ok(()));

        let other = Run::new("7".to_owned()).whole(Some(&Received::default()));
        let flaw = judge(other.as_bytes(), "7", Some(&sent));
        assert!(matches!(flaw, Err(Flaw::Wrong(_))), "{flaw:?}");
    }
}
