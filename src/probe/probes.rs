use super::{
    envoy,
    format::Format,
    json,
    long_answers::LongAnswers,
    probe_answer::ProbeAnswer,
    query::{Query, QueryError, decode_name},
    question::{Detail, Live, Question, Target},
    route::{PathError, Routes},
    text,
};
use crate::{
    registry::{Readiness, Registry},
    response::{Answer, OwnResponse, without_body},
    state::{Condition, Data, Phase, ScopeId, Verdict},
    unread::{UnreadBodies, UnreadBody},
    wire::Probe,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body::Body;
use http_body_util::Full;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::time::Instant;

/// The maximum number of requests that `?wait` at the same time; an admin listener
/// may allow fewer. Further requests are answered at once.
const MAX_WAITING: usize = 256;

/// The probe routes; see the [module documentation](crate::probe).
///
/// Cheap to clone.
#[must_use]
#[derive(Clone)]
pub struct Probes(Arc<Config>);

#[derive(Clone)]
struct Config {
    readiness: Readiness,
    routes: Routes,
    /// `None` until set; then the default applies.
    detail: Option<Detail>,
    envoy_headers: bool,
    not_found_in_drain: bool,
    waiting: Arc<AtomicUsize>,
    unread: UnreadBodies,
    max_waiting: usize,
    long_answers: Arc<LongAnswers>,
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
            waiting: Arc::default(),
            unread: UnreadBodies::default(),
            max_waiting: MAX_WAITING,
            long_answers: Arc::default(),
        }))
    }

    /// Sets how much detail the answers contain.
    pub fn detail(mut self, detail: Detail) -> Self {
        self.config().detail = Some(detail);
        self
    }

    /// Sets the detail, unless [`detail`](Self::detail) has set it.
    #[cfg(feature = "server")]
    pub(crate) fn default_detail(mut self, detail: Detail) -> Self {
        self.config().detail.get_or_insert(detail);
        self
    }

    /// Moves `probe` to `path`.
    ///
    /// ```
    /// # use tower_readiness::{Readiness, Subsystem, probe::{Probe, Probes}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// let probes = Probes::new(&readiness)
    ///     .path(Probe::Readiness, "/internal/ready")?
    ///     .without(Probe::Status);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When `path` is not a plain absolute path, or another probe answers
    /// there. The paths below the readiness probe belong to the names of
    /// subsystems and scopes, so no other probe can be there.
    pub fn path(mut self, probe: Probe, path: impl Into<String>) -> Result<Self, PathError> {
        self.config().routes.set(probe, path.into())?;
        Ok(self)
    }

    /// Turns `probe` off.
    pub fn without(mut self, probe: Probe) -> Self {
        self.config().routes.remove(probe);
        self
    }

    /// Adds response headers for Envoy: `x-envoy-degraded` to the readiness probe
    /// while degraded, and, once the process drains,
    /// `x-envoy-immediate-health-check-fail` to every response, which removes the
    /// host before the next health check.
    ///
    /// A [`ReadinessLayer`](crate::ReadinessLayer) with these probes adds the
    /// latter to the responses of the application and to refusals as well, as
    /// Envoy's own health check filter does. Where another port serves the
    /// probes, call [`ReadinessLayer::envoy_headers`](crate::ReadinessLayer::envoy_headers).
    pub fn envoy_headers(mut self) -> Self {
        self.config().envoy_headers = true;
        self
    }

    /// Answers the readiness probe with 404 instead of 503 once the process
    /// drains, for HAProxy's `http-check disable-on-404`: the server gets no
    /// new sessions, and its existing sessions go on.
    pub fn not_found_while_draining(mut self) -> Self {
        self.config().not_found_in_drain = true;
        self
    }

    /// Bounds how far the body of an HTTP/1 request is read, where the probes are
    /// a service by themselves. A layer has
    /// [bounds of its own](crate::ReadinessLayer::unread_body).
    pub fn unread_body(mut self, bounds: UnreadBody) -> Self {
        self.config().unread.bounds = bounds;
        self
    }

    /// Answers requests with `?wait` at once.
    pub fn without_wait(mut self) -> Self {
        self.config().max_waiting = 0;
        self
    }

    /// Lowers the number of requests that may `?wait` at the same time to
    /// `waiting`, and counts them apart from those of other clones.
    #[cfg(feature = "server")]
    pub(crate) fn max_waiting(mut self, waiting: usize) -> Self {
        let config = self.config();
        config.max_waiting = config.max_waiting.min(waiting);
        config.waiting = Arc::default();
        self
    }

    /// Returns the paths at which probes answer.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Probe)> {
        self.0.routes.paths()
    }

    #[cfg(all(unix, feature = "commands"))]
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    fn chosen_detail(&self) -> Detail {
        self.0.detail.unwrap_or_default()
    }

    fn config(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes")
            .field("paths", &self.paths().collect::<Vec<_>>())
            .field("detail", &self.chosen_detail())
            .finish_non_exhaustive()
    }
}

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

// === answering ===

impl Probes {
    /// Returns `true` for every path of a probe, and `false` for nearly every other
    /// path.
    #[inline]
    pub(crate) fn may_answer(&self, path: &str) -> bool {
        self.0.routes.may_find(path)
    }

    /// Starts the background tasks that could not start outside a runtime.
    pub(super) fn start_background_tasks(&self) {
        self.0.readiness.registry().background().start();
    }

    /// Answers a request, with 404 if its path is not a probe's. Reads its body
    /// first, where the connection depends on it.
    pub(super) fn answer_after_body<B>(&self, request: Request<B>) -> Answer
    where
        B: Body + Send + 'static,
    {
        let answer = self.answer_or_not_found(&request);
        self.0.unread.read_before(answer, request)
    }

    /// Answers `request`, or returns `None` if its path is not a probe's.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Answer> {
        let (probe, name) = self.0.routes.find(request.uri().path())?;
        let query = request.uri().query();
        let answer = self.answer_probe(probe, name, request.method(), query, request.headers());
        Some(match answer {
            Answer::Now(mut response) => {
                self.mark_as_probe(probe, &mut response);
                Answer::Now(response)
            }
            // A later answer is marked when it is rendered.
            later => later,
        })
    }

    /// Answers `request`, with 404 if its path is not a probe's.
    pub(crate) fn answer_or_not_found<B>(&self, request: &Request<B>) -> Answer {
        self.answer(request).unwrap_or_else(|| {
            let mut response = not_found();
            self.mark_for_envoy(&mut response);
            Answer::now(if *request.method() == Method::HEAD {
                without_body(response)
            } else {
                response
            })
        })
    }

    /// Marks a response of any status as the answer to a probe, for outer layers
    /// and for Envoy.
    fn mark_as_probe(&self, probe: Probe, response: &mut OwnResponse) {
        response.extensions_mut().insert(ProbeAnswer { probe });
        self.mark_for_envoy(response);
    }

    fn mark_for_envoy(&self, response: &mut OwnResponse) {
        let draining = |data: &Data| data.phase >= Phase::Draining;
        if self.0.envoy_headers && self.0.readiness.registry().read(draining) {
            envoy::fail_health_check(response.headers_mut());
        }
    }

    /// Whether [`envoy_headers`](Self::envoy_headers) are on.
    pub(crate) fn has_envoy_headers(&self) -> bool {
        self.0.envoy_headers
    }

    fn answer_probe(
        &self,
        probe: Probe,
        name: Option<&str>,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Answer::now(response);
        }
        let head = *method == Method::HEAD;
        let answer = match self.question(probe, name, query, headers) {
            Ok(question) => self.answer_question(question, head),
            Err(QuestionError::NotFound) => Answer::now(not_found()),
            Err(QuestionError::Query(error)) => {
                Answer::now(line(StatusCode::BAD_REQUEST, &error.to_string()))
            }
        };
        match answer {
            Answer::Now(response) if head => Answer::now(without_body(*response)),
            answer => answer,
        }
    }

    fn question(
        &self,
        probe: Probe,
        name: Option<&str>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Question, QuestionError> {
        let detailed = self.chosen_detail() >= Detail::Names;
        let target = match name {
            None => Target::Scope(ScopeId::Process),
            Some(name) if detailed => {
                let target = self.target(&decode_name(name));
                target.ok_or(QuestionError::NotFound)?
            }
            Some(_) => return Err(QuestionError::NotFound),
        };
        let query = match query {
            Some(query) if detailed => Query::parse(query).map_err(QuestionError::Query)?,
            _ => Query::default(),
        };
        if matches!(target, Target::Subsystem(_)) && !query.exclude.is_empty() {
            return Err(QuestionError::Query(QueryError::ExcludeOnSubsystem));
        }
        Ok(Question {
            probe,
            target,
            query,
            format: Format::accepted(headers),
        })
    }

    fn target(&self, name: &str) -> Option<Target> {
        self.0.readiness.registry().read(|data| {
            let scope = data.scope_id(name).map(Target::Scope);
            scope.or_else(|| {
                let view = data.subsystem(name)?;
                Some(Target::Subsystem(view.name().to_owned()))
            })
        })
    }

    fn answer_question(&self, question: Question, head: bool) -> Answer {
        let registry = self.0.readiness.registry();
        registry.publish_overdue();
        match question.query.wait {
            Some(wait)
                if !wait.is_zero()
                    && tokio::runtime::Handle::try_current().is_ok()
                    && !registry.read(|data| question.is_settled(data)) =>
            {
                let Some(permit) = WaitPermit::try_acquire(&self.0.waiting, self.0.max_waiting)
                else {
                    return Answer::now(self.answer_from_snapshot(&question));
                };
                let probes = self.clone();
                Answer::later(async move {
                    let registry: &Arc<Registry> = probes.0.readiness.registry();
                    let settled = registry.wait_for(|data| question.is_settled(data).then_some(()));
                    // Settled or timed out, the answer comes from the newest
                    // snapshot.
                    let _ = tokio::time::timeout(wait, settled).await;
                    drop(permit);
                    let mut response = probes.answer_from_snapshot(&question);
                    probes.mark_as_probe(question.probe, &mut response);
                    if head {
                        without_body(response)
                    } else {
                        response
                    }
                })
            }
            _ => Answer::now(self.answer_from_snapshot(&question)),
        }
    }

    /// Renders the answer from the newest snapshot.
    fn answer_from_snapshot(&self, question: &Question) -> OwnResponse {
        self.0.readiness.registry().read(|data| {
            let Some(verdict) = question.verdict(data) else {
                return not_found();
            };
            let live = Live {
                now: Instant::now().into_std(),
                traffic: self.0.readiness.registry().traffic(),
            };
            let body = self.body(question, data, verdict, live);
            let mut response = build_response(
                self.status(question, data, verdict),
                question.format.content_type(),
                body,
            );
            let is_degraded = verdict.condition() == Condition::Degraded;
            if self.0.envoy_headers && question.probe == Probe::Readiness && is_degraded {
                envoy::degrade(response.headers_mut());
            }
            response
        })
    }

    fn body(&self, question: &Question, data: &Data, verdict: Verdict, live: Live<'_>) -> Bytes {
        let render = |detail| match question.format {
            Format::Text => text::render(question, data, verdict, detail, live),
            Format::Json => json::render(question, data, verdict, detail, live),
        };
        let detail = self.chosen_detail();
        if !question.lists_subsystems(detail) {
            return render(detail).into();
        }
        let long_answers = &self.0.long_answers;
        let answer =
            long_answers.get_or_render(question, detail, data.version, live.now, || render(detail));
        answer.unwrap_or_else(|| render(Detail::None).into())
    }

    fn status(&self, question: &Question, data: &Data, verdict: Verdict) -> StatusCode {
        if question.passes(verdict) {
            StatusCode::OK
        } else if self.0.not_found_in_drain
            && question.probe == Probe::Readiness
            && data.phase >= Phase::Draining
        {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Why a probe request is rejected.
enum QuestionError {
    NotFound,
    Query(QueryError),
}

fn not_found() -> OwnResponse {
    line(StatusCode::NOT_FOUND, "not found")
}

/// A plain text response of one line.
pub(crate) fn line(status: StatusCode, text: &str) -> OwnResponse {
    build_response(status, Format::Text.content_type(), format!("{text}\n"))
}

fn build_response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> OwnResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A permit to `?wait`, returned on drop.
struct WaitPermit(Arc<AtomicUsize>);

impl WaitPermit {
    fn try_acquire(waiting: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let increment = |waiting| (waiting < max).then_some(waiting + 1);
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment)
            .ok()?;
        Some(Self(Arc::clone(waiting)))
    }
}

impl Drop for WaitPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
