//! Compares each answer with the versions that were published meanwhile.

use super::{Process, version_log::VersionLog};
use std::{
    mem,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tower_readiness::{Readiness, Reason, gate::Refusal};

/// A tenth of the history, since a version has several transitions.
const MOST_BEHIND: u64 = 100;

/// An answer, and the newest versions when its request began and when it was there.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// `None` if the request was admitted.
    pub(crate) refusal: Option<Refusal>,
}

pub(crate) struct Explainer {
    answers: Mutex<Vec<Answered>>,
    log: Mutex<VersionLog>,
    /// The newest version of the log.
    logged: AtomicU64,
    pub(crate) explained: AtomicU64,
    /// Set by a fault: refusals are recorded with another reason.
    pub(crate) is_wrong: AtomicBool,
}

impl Explainer {
    pub(crate) fn new(readiness: &Readiness) -> Self {
        let snapshot = readiness.snapshot();
        Self {
            answers: Mutex::default(),
            log: Mutex::new(VersionLog::new(&snapshot)),
            logged: AtomicU64::new(snapshot.version()),
            explained: AtomicU64::new(0),
            is_wrong: AtomicBool::new(false),
        }
    }

    /// Whether the log lacks so many versions that the history could drop one of them.
    pub(crate) fn is_behind(&self, readiness: &Readiness) -> bool {
        readiness.snapshot().version() > self.logged.load(Ordering::Relaxed) + MOST_BEHIND
    }

    pub(crate) fn add(&self, answer: Answered) {
        self.answers.lock().unwrap().push(answer);
    }

    /// Explains the answers so far. An answer without an explanation is a finding.
    pub(crate) fn explain(&self, process: &Process) {
        // First the answers, so that the history has the versions of all.
        let answers = mem::take(&mut *self.answers.lock().unwrap());
        let mut log = self.log.lock().unwrap();
        let version = process.readiness.snapshot().version();
        if let Err(finding) = log.extend(&process.readiness.history()) {
            process.findings.add(finding);
        }
        self.logged.store(version, Ordering::Relaxed);
        let is_wrong = self.is_wrong.load(Ordering::Relaxed);
        for answer in answers {
            if let Err(why) = explain(&log, &answer, is_wrong) {
                process.findings.add(&format!("{why}: {answer:?}"));
            } else if answer.refusal.is_some() {
                self.explained.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn forget(&self) {
        *self.answers.lock().unwrap() = Vec::new();
        self.log.lock().unwrap().forget();
    }
}

fn explain(log: &VersionLog, answer: &Answered, is_wrong: bool) -> Result<(), &'static str> {
    const FORGOTTEN: &str = "the versions of an answer are forgotten";
    let Some(refusal) = &answer.refusal else {
        let mut versions = log.of(answer.began..=answer.ended).ok_or(FORGOTTEN)?;
        let is_admitted = versions.any(|entry| entry.admits());
        return is_admitted
            .then_some(())
            .ok_or("a request was admitted that each version refused");
    };
    let version = refusal.version();
    if !(answer.began..=answer.ended).contains(&version) {
        return Err("a refusal has a version from before or after its request");
    }
    let reason = if is_wrong {
        Reason::Closed
    } else {
        refusal.reason()
    };
    let mut entry = log.of(version..=version).ok_or(FORGOTTEN)?;
    let is_explained = entry.any(|entry| entry.has(reason, refusal.scope().is_some()));
    is_explained
        .then_some(())
        .ok_or("the version of a refusal does not have its reason")
}
