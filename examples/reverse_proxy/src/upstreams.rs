//! The upstreams: which there are, which answer, and whose turn it is.

use axum::http::uri::Authority;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_readiness::{GroupHandle, MemberReporter};

/// How many requests in a row have to fail until an upstream is failing.
const FAILURES: u32 = 2;

/// How often an upstream that does not answer is tried.
const RETRY: Duration = Duration::from_millis(500);

pub(crate) struct Upstreams {
    group: GroupHandle,
    list: RwLock<Arc<[Arc<Upstream>]>>,
    next: AtomicUsize,
}

impl Upstreams {
    pub(crate) fn new(group: GroupHandle) -> Self {
        Self {
            group,
            list: RwLock::default(),
            next: AtomicUsize::new(0),
        }
    }

    fn list(&self) -> Arc<[Arc<Upstream>]> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds and removes upstreams, so that they are those of a configuration with an
    /// address in each line. Those that stay keep their state. On an error all stay.
    pub(crate) fn apply(&self, configuration: &str) -> Result<(), crate::Error> {
        let lines = configuration.lines().map(str::trim);
        let wanted: HashSet<Authority> = lines
            .filter(|line| !line.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let before = self.list();
        let known: HashMap<_, _> = before.iter().map(|it| (&it.authority, it)).collect();
        let mut list = Vec::new();
        let mut added = Ok(());
        for authority in &wanted {
            match known.get(authority) {
                Some(upstream) => list.push(Arc::clone(upstream)),
                None => match self.group.add(authority.as_str()) {
                    Ok(reporter) => list.push(Upstream::start(authority.clone(), reporter)),
                    Err(error) => added = Err(error),
                },
            }
        }
        if let Err(error) = added {
            let new = list.iter().filter(|it| !known.contains_key(&it.authority));
            new.for_each(|upstream| upstream.retire());
            return Err(error.into());
        }
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list.into();
        let gone = before.iter().filter(|it| !wanted.contains(&it.authority));
        gone.for_each(|upstream| upstream.retire());
        Ok(())
    }

    /// Returns the next upstream that answers, or `None` if there is none.
    pub(crate) fn pick(&self) -> Option<Arc<Upstream>> {
        let list = self.list();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        (0..list.len())
            .map(|step| &list[next.wrapping_add(step) % list.len()])
            .find(|upstream| upstream.answers.load(Ordering::Relaxed))
            .cloned()
    }
}

pub(crate) struct Upstream {
    pub(crate) authority: Authority,
    answers: AtomicBool,
    failures: AtomicU32,
    stopped_answering: Notify,
    /// The reporter, until the upstream is removed. A request may then still be under way.
    reporter: Mutex<Option<(MemberReporter, JoinHandle<()>)>>,
}

impl Upstream {
    fn start(authority: Authority, reporter: MemberReporter) -> Arc<Self> {
        reporter.starting("not tried yet");
        let upstream = Arc::new(Self {
            authority,
            answers: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            stopped_answering: Notify::new(),
            reporter: Mutex::new(None),
        });
        let task = tokio::spawn(recover(Arc::clone(&upstream)));
        *upstream.reporter() = Some((reporter, task));
        upstream.stopped_answering.notify_one();
        upstream
    }

    fn reporter(&self) -> std::sync::MutexGuard<'_, Option<(MemberReporter, JoinHandle<()>)>> {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request was answered.
    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        // Taken only where the state changes, not by each request.
        if self.answers.load(Ordering::Relaxed) {
            return;
        }
        if let Some((reporter, _)) = &*self.reporter() {
            self.answers.store(true, Ordering::Relaxed);
            reporter.ready();
        }
    }

    /// Notes that a request failed by a fault of the upstream.
    pub(crate) fn failed(&self, reason: &str) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < FAILURES {
            return;
        }
        if let Some((reporter, _)) = &*self.reporter() {
            reporter.failing(reason);
            self.answers.store(false, Ordering::Relaxed);
            self.stopped_answering.notify_one();
        }
    }

    fn retire(&self) {
        if let Some((reporter, task)) = self.reporter().take() {
            task.abort();
            reporter.retire();
        }
    }
}

/// Tries an upstream that gets no traffic, because it does not answer.
async fn recover(upstream: Arc<Upstream>) {
    loop {
        upstream.stopped_answering.notified().await;
        while !upstream.answers.load(Ordering::Relaxed) {
            match timeout(RETRY, TcpStream::connect(upstream.authority.as_str())).await {
                Ok(Ok(_)) => upstream.succeeded(),
                Ok(Err(error)) => upstream.failed(&error.to_string()),
                Err(_) => upstream.failed("does not accept connections in time"),
            }
            sleep(RETRY).await;
        }
    }
}
