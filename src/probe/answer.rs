use super::{
    envoy,
    format::Format,
    json,
    large_answers::LARGE_ANSWER,
    probe_answer::ProbeAnswer,
    probes::Probes,
    query::{Query, QueryError, decode_name},
    question::{Detail, Question, Topic},
    rendering::Rendering,
    text,
};
use crate::{
    response::{Answer, OwnResponse, without_body},
    state::{Condition, Data, Phase, ScopeId, Selection},
    timers::timer_at,
    wire::Probe,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body::Body;
use http_body_util::Full;
use std::sync::Arc;
use tokio::time::Instant;

impl Probes {
    /// Returns `true` for every path of a probe, and `false` for nearly every other
    /// path.
    #[inline]
    pub(crate) fn may_answer(&self, path: &str) -> bool {
        self.0.routes.may_find(path)
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
        let path = request.uri().path();
        let found = self.0.routes.find(path);
        #[cfg(feature = "page")]
        let found = found.or_else(|| self.find_at_root(path));
        let (probe, name) = found?;
        let (method, query) = (request.method(), request.uri().query());
        let is_head = *method == Method::HEAD;
        if let (Probe::Status, Some(name)) = (probe, name) {
            let response = self.answer_group(&decode_name(name), method, query, request.headers());
            return Some(Answer::now(self.complete(response?, Some(probe), is_head)));
        }
        let question = self.question(probe, name, method, query, request.headers());
        Some(match question {
            Ok(question) => self.answer_question(question, is_head),
            Err(rejection) => {
                Answer::now(self.complete(rejection.response(), Some(probe), is_head))
            }
        })
    }

    /// Answers `request`, with 404 if its path is not a probe's.
    pub(crate) fn answer_or_not_found<B>(&self, request: &Request<B>) -> Answer {
        self.answer(request).unwrap_or_else(|| {
            let is_head = *request.method() == Method::HEAD;
            Answer::now(self.complete(Rejection::NotFound.response(), None, is_head))
        })
    }

    /// Marks a response of any status as the answer to `probe`, for outer layers,
    /// and for Envoy. Removes the body for a `HEAD` request.
    fn complete(
        &self,
        mut response: OwnResponse,
        probe: Option<Probe>,
        is_head: bool,
    ) -> OwnResponse {
        if let Some(probe) = probe {
            response.extensions_mut().insert(ProbeAnswer { probe });
            let meters = self.0.readiness.registry().meters();
            meters.probes.count(probe, response.status());
        }
        let draining = |data: &Data| data.phase >= Phase::Draining;
        if self.0.envoy_headers && self.0.readiness.registry().read(draining) {
            envoy::fail_health_check(response.headers_mut());
        }
        if is_head {
            without_body(response)
        } else {
            response
        }
    }

    fn question(
        &self,
        probe: Probe,
        name: Option<&str>,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Question, Rejection> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Rejection::Method);
        }
        let has_details = self.detail() >= Detail::Names;
        let topic = match name {
            None => Topic::Scope(ScopeId::Process),
            Some(name) => {
                let topic = has_details.then(|| self.topic(&decode_name(name)));
                topic.flatten().ok_or(Rejection::NotFound)?
            }
        };
        let query = Query::parse(query.filter(|_| has_details).unwrap_or_default());
        let query = query.map_err(Rejection::Query)?;
        if matches!(topic, Topic::Subsystem(_)) && !query.exclude.is_empty() {
            return Err(Rejection::Query(QueryError::ExcludeOnSubsystem));
        }
        // The wait would always last its whole time.
        if probe == Probe::Status && query.until_red {
            return Err(Rejection::Query(QueryError::UntilRedOfStatus));
        }
        Ok(Question {
            probe,
            topic,
            query,
            #[cfg(feature = "page")]
            format: self.format(probe, headers),
            #[cfg(not(feature = "page"))]
            format: Format::accepted(headers),
        })
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        self.0.readiness.registry().read(|data| {
            let scope = data.scope_id(name).map(Topic::Scope);
            let subsystem = || Some(Topic::Subsystem(data.subsystem(name)?.name().to_owned()));
            scope.or_else(subsystem)
        })
    }

    fn answer_question(&self, question: Question, is_head: bool) -> Answer {
        let registry = self.0.readiness.registry();
        registry.publish_overdue();
        let wait = question.query.wait;
        let waits = !wait.is_zero() && !registry.read(|data| question.is_settled(data));
        let begin_wait = || {
            let permit = Arc::clone(&self.0.waiting).try_acquire_owned().ok()?;
            Some((permit, timer_at(Instant::now() + wait)?))
        };
        let Some((permit, timer)) = waits.then(begin_wait).flatten() else {
            return Answer::now(self.answer_from_snapshot(&question, is_head));
        };
        let probes = self.clone();
        Answer::later(async move {
            let registry = probes.0.readiness.registry();
            let settled = registry.wait_for(|data| question.is_settled(data).then_some(()));
            // Settled or timed out, the answer comes from the newest snapshot.
            tokio::select! { biased;
                _ = settled => {}
                () = timer => {}
            }
            drop(permit);
            probes.answer_from_snapshot(&question, is_head)
        })
    }

    /// Renders the answer from the newest snapshot.
    fn answer_from_snapshot(&self, question: &Question, is_head: bool) -> OwnResponse {
        let registry = self.0.readiness.registry();
        let response = registry.read(|data| {
            let Some(selection) = question.select(data) else {
                return Rejection::NotFound.response();
            };
            let rendering = self.rendering(question, &selection);
            let body = self.body(rendering);
            let status = self.status(&rendering);
            let mut response = build_response(status, question.format.content_type(), body);
            let is_degraded = rendering.verdict.condition() == Condition::Degraded;
            #[cfg(feature = "page")]
            if let (Format::Html, Some(page)) = (question.format, self.0.page) {
                page.protect(&mut response);
            }
            if self.0.envoy_headers && question.probe == Probe::Readiness && is_degraded {
                envoy::degrade(response.headers_mut());
            }
            response
        });
        self.complete(response, Some(question.probe), is_head)
    }

    pub(super) fn rendering<'a>(
        &'a self,
        question: &'a Question,
        selection: &'a Selection<'a>,
    ) -> Rendering<'a> {
        let registry = self.0.readiness.registry();
        let (now, phase) = (Instant::now(), selection.data.phase);
        let drain = || registry.drain_clock().status(phase, now);
        Rendering {
            question,
            verdict: selection.verdict(),
            selection,
            detail: self.detail(),
            now: now.into_std(),
            traffic: registry.traffic(),
            since: None,
            drain: (question.probe == Probe::Status).then(drain).flatten(),
            is_short: false,
        }
    }

    fn body(&self, rendering: Rendering<'_>) -> Bytes {
        let render = |rendering: Rendering<'_>| match rendering.question.format {
            Format::Text => text::render(&rendering),
            Format::Json => json::render(&rendering),
            #[cfg(feature = "page")]
            Format::Html => match self.0.page {
                Some(page) => self.render_page(page, &json::document(&rendering)),
                // Without a page no question has this format.
                None => text::render(&rendering),
            },
        };
        if !rendering.question.lists_subsystems(rendering.detail) {
            return render(rendering).into();
        }
        let large_answers = &self.0.large_answers;
        let whole = || render(rendering);
        let body = large_answers.get_or_render(&rendering, LARGE_ANSWER, whole);
        // A client that excludes subsystems has to see that the probe knows them.
        let excludes = !rendering.question.query.exclude.is_empty();
        let short = || Rendering {
            detail: if excludes {
                Detail::Names
            } else {
                Detail::None
            },
            is_short: true,
            ..rendering
        };
        body.unwrap_or_else(|| render(short()).into())
    }

    fn status(&self, rendering: &Rendering<'_>) -> StatusCode {
        let question = rendering.question;
        if question.passes(rendering.verdict) {
            StatusCode::OK
        } else if self.0.not_found_in_drain
            && question.probe == Probe::Readiness
            && rendering.selection.data.phase >= Phase::Draining
        {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Why a probe request is rejected.
enum Rejection {
    Method,
    NotFound,
    Query(QueryError),
}

impl Rejection {
    fn response(&self) -> OwnResponse {
        match self {
            Self::Method => method_not_allowed(),
            Self::NotFound => line(StatusCode::NOT_FOUND, "not found"),
            Self::Query(error) => line(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
}

/// The response to a method other than `GET` and `HEAD`.
pub(crate) fn method_not_allowed() -> OwnResponse {
    let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    let methods = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// A plain text response of one line.
pub(crate) fn line(status: StatusCode, text: &str) -> OwnResponse {
    build_response(status, Format::Text.content_type(), format!("{text}\n"))
}

pub(crate) fn build_response(
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
