#[cfg(feature = "page")]
use super::page::Page;
#[cfg(all(feature = "metrics", feature = "server"))]
use super::unread_answers::UnreadAnswers;
use super::{large_answers::LargeAnswers, question::Detail, route::Routes};
use crate::{registry::Readiness, unread::UnreadBodies, wire::Probe};
#[cfg(all(any(feature = "events", feature = "metrics"), feature = "server"))]
use http::Request;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The maximum number of requests that `?wait` at the same time; an admin listener
/// may allow fewer. Further requests are answered at once.
const MAX_WAITING: usize = 256;

/// The probe routes; see the [module documentation](crate::probe).
///
/// Cheap to clone.
#[must_use]
#[derive(Clone)]
pub struct Probes(pub(super) Arc<Config>);

#[derive(Clone)]
pub(super) struct Config {
    pub(super) readiness: Readiness,
    pub(super) routes: Routes,
    /// `None` until set; then the default applies.
    pub(super) detail: Option<Detail>,
    pub(super) envoy_headers: bool,
    pub(super) not_found_in_drain: bool,
    /// A permit for each request that may `?wait` at the same time.
    pub(super) waiting: Arc<Semaphore>,
    pub(super) max_waiting: usize,
    pub(super) unread: UnreadBodies,
    pub(super) large_answers: Arc<LargeAnswers>,
    /// What browsers get at the path of the status probe, and at `/`.
    #[cfg(feature = "page")]
    pub(super) page: Option<Page>,
}

impl Probes {
    /// Creates the probes at their default paths, with [`Detail::None`].
    pub fn new(readiness: &Readiness) -> Self {
        Self(Arc::new(Config {
            readiness: readiness.clone(),
            routes: Routes::default(),
            detail: None,
            envoy_headers: false,
            not_found_in_drain: false,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            max_waiting: MAX_WAITING,
            unread: UnreadBodies::default(),
            large_answers: Arc::default(),
            #[cfg(feature = "page")]
            page: None,
        }))
    }

    /// Returns the paths at which probes answer.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Probe)> {
        self.0.routes.paths()
    }

    pub(super) fn config(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.0)
    }

    pub(super) fn detail(&self) -> Detail {
        self.0.detail.unwrap_or_default()
    }

    /// Lowers the number of requests that may `?wait` at the same time to
    /// `waiting`, and counts them apart from those of other clones.
    pub(crate) fn max_waiting(mut self, waiting: usize) -> Self {
        let config = self.config();
        config.max_waiting = config.max_waiting.min(waiting);
        config.waiting = Arc::new(Semaphore::new(config.max_waiting));
        self
    }

    pub(crate) fn with_envoy_headers(mut self) -> Self {
        self.config().envoy_headers = true;
        self
    }

    /// Whether [`envoy_headers`](super::ProbesBuilder::envoy_headers) are on.
    pub(crate) fn has_envoy_headers(&self) -> bool {
        self.0.envoy_headers
    }
}

/// The settings of an admin listener.
#[cfg(feature = "server")]
impl Probes {
    pub(crate) fn with_detail(mut self, detail: Detail) -> Self {
        self.config().detail = Some(detail);
        self
    }

    /// Sets the detail, unless [`detail`](super::ProbesBuilder::detail) has set it.
    pub(crate) fn default_detail(mut self, detail: Detail) -> Self {
        self.config().detail.get_or_insert(detail);
        self
    }

    #[cfg(all(feature = "metrics", feature = "server"))]
    pub(crate) fn unread_answers(&self) -> &UnreadAnswers {
        &self.0.large_answers.unread
    }

    /// Whether a probe has the path of `request`, and not only a path above it.
    #[cfg(any(feature = "events", feature = "metrics"))]
    pub(crate) fn is_path_of_probe<B>(&self, request: &Request<B>) -> bool {
        let found = self.0.routes.find(request.uri().path());
        matches!(found, Some((_, None)))
    }

    /// Whether answers name subsystems.
    #[cfg(feature = "server")]
    pub(crate) fn shows_names(&self) -> bool {
        self.detail() >= Detail::Names
    }

    #[cfg(feature = "page")]
    pub(crate) fn with_page(mut self, page: Page) -> Self {
        self.config().page = Some(page);
        self
    }

    /// The permits of the requests that may `?wait` at the same time. `None` if none may.
    #[cfg(feature = "events")]
    pub(crate) fn waiting(&self) -> Option<Arc<Semaphore>> {
        (self.0.max_waiting > 0).then(|| Arc::clone(&self.0.waiting))
    }

    /// Whether `path` is that of the events, below the path of the status probe, and
    /// answers name subsystems.
    #[cfg(feature = "events")]
    pub(crate) fn is_path_of_events(&self, path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        let parent = |(status, probe): (&str, Probe)| {
            let parent = status.strip_suffix('/').unwrap_or(status);
            probe == Probe::Status && path.strip_prefix(parent) == Some("/events")
        };
        self.shows_names() && self.paths().any(parent)
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }
}

crate::debug::fields!(Probes, |this| {
    paths: this.paths().collect::<Vec<_>>(),
    detail: this.detail(),
});

impl From<&Readiness> for Probes {
    fn from(readiness: &Readiness) -> Self {
        Self::new(readiness)
    }
}

impl From<&Probes> for Probes {
    fn from(probes: &Probes) -> Self {
        probes.clone()
    }
}
