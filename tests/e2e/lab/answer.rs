//! The form of an answer, which lets a client tell that it is whole, from
//! exactly one run of a handler, and for its own request.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hasher},
};

pub(crate) const REQUEST_ID: &str = "x-request-id";
pub(crate) const REPLICA: &str = "x-replica";

const FILLER: &str = "the quick brown fox jumps over the lazy dog, once more and again";

/// One run of a handler. Each line of its answer begins with its tag.
pub(crate) struct Run {
    id: String,
    tag: u64,
}

impl Run {
    pub(crate) fn new(id: String) -> Self {
        let tag = fastrand::u64(..);
        Self { id, tag }
    }

    pub(crate) fn begin(&self) -> String {
        format!("{:016x} begin {}\n", self.tag, self.id)
    }

    pub(crate) fn data(&self) -> String {
        format!("{:016x} data {FILLER}\n", self.tag)
    }

    pub(crate) fn received(&self, upload: &Received) -> String {
        format!("{:016x} received {upload}\n", self.tag)
    }

    pub(crate) fn end(&self) -> String {
        format!("{:016x} end {}\n", self.tag, self.id)
    }

    /// All of it, with this among the lines.
    pub(crate) fn whole(&self, middle: &str) -> String {
        let mut text = self.begin();
        text.push_str(middle);
        for _ in 0..4 {
            text.push_str(&self.data());
        }
        text.push_str(&self.end());
        text
    }
}

/// How much of an upload there was, and what.
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

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:016x}", self.bytes, self.hasher.finish())
    }
}

/// What is wrong with the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    CutShort,
    Wrong(String),
}

/// Whether `body` is the whole answer to the request `id`, which uploaded
/// `upload`.
pub(crate) fn judge(body: &[u8], id: &str, upload: Option<&Received>) -> Result<(), Flaw> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Flaw::Wrong("not text".to_owned()));
    };
    let Some(tag) = text.get(..16) else {
        return Err(Flaw::CutShort);
    };
    if let Some(line) = text.lines().find(|line| {
        let begin = line.get(..16).unwrap_or(line);
        !tag.starts_with(begin)
    }) {
        return Err(Flaw::Wrong(format!("a line of another run: {line}")));
    }
    let mut expected = format!("{tag} begin {id}\n");
    if let Some(upload) = upload {
        let _ = writeln!(expected, "{tag} received {upload}");
    }
    if !text.starts_with(&expected) && !expected.starts_with(text) {
        let first = text.lines().next().unwrap_or_default();
        return Err(Flaw::Wrong(format!("begins with {first}")));
    }
    if !text.ends_with(&format!("\n{tag} end {id}\n")) {
        return Err(Flaw::CutShort);
    }
    Ok(())
}
