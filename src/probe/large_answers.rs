use super::{
    format::Format,
    question::{Detail, Topic},
    rendering::Rendering,
    unread_answers::UnreadAnswers,
};
use crate::wire::Probe;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The length in bytes from which an answer is shared. A shorter answer costs less
/// than a connection does, so it is rendered for each request.
pub(super) const LARGE_ANSWER: usize = 16 << 10;

/// The maximum age of a shared answer.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The length in bytes below which an event or the metrics are sent although other clients
/// have not read their answers. A change of one subsystem is as long as the list of all that
/// are red, so a client that reads gets it in a process with thousands. Of such answers, a
/// connection of HTTP/1 has two at most: one that it still sends, and the next.
#[cfg(any(feature = "events", all(feature = "metrics", feature = "server")))]
pub(crate) const LARGE_UPDATE: usize = 256 << 10;

/// Caches the last large answer of each probe in each format, for all equal requests
/// within the same second.
///
/// A client that requests thousands of subsystems in a loop thus delays no probe,
/// and clients that do not read their answers share the same bytes. Takes no lock.
#[derive(Default)]
pub(super) struct LargeAnswers {
    text: OfProbes,
    json: OfProbes,
    #[cfg(feature = "page")]
    html: OfProbes,
    pub(super) unread: UnreadAnswers,
}

/// An answer of each probe.
type OfProbes = [ArcSwapOption<CachedAnswer>; Probe::ALL.len()];

/// A rendered answer and the request that it answers.
struct CachedAnswer {
    topic: Topic,
    verbose: bool,
    detail: Detail,
    version: u64,
    at: Instant,
    body: Bytes,
}

impl LargeAnswers {
    /// Returns the answer to a question that lists subsystems. `None` if long answers
    /// take too many bytes already and this one has `large` bytes or more.
    pub(super) fn get_or_render(
        &self,
        rendering: &Rendering<'_>,
        large: usize,
        render: impl FnOnce() -> String,
    ) -> Option<Bytes> {
        let question = rendering.question;
        let of_probes = match question.format {
            Format::Text => &self.text,
            Format::Json => &self.json,
            #[cfg(feature = "page")]
            Format::Html => &self.html,
        };
        let last = &of_probes[question.probe as usize];
        // Requests with `exclude` or a bad `verbose` are rarely repeated.
        let query = &question.query;
        let is_shared = query.exclude.is_empty() && query.unclear_verbose.is_none();
        if is_shared {
            if let Some(cached) = &*last.load() {
                if cached.is_answer_to(rendering) {
                    return Some(cached.body.clone());
                }
            }
        }
        if self.unread.is_full() {
            self.forget_outdated(rendering);
        }
        let rendered = self.render_unless_full(rendering, large, render)?;
        if rendered.len() < LARGE_ANSWER {
            return Some(rendered.into());
        }
        let body = self.unread.count(rendered);
        if is_shared {
            last.store(Some(Arc::new(CachedAnswer {
                topic: question.topic.clone(),
                verbose: query.verbose,
                detail: rendering.detail,
                version: rendering.selection.data.version,
                at: rendering.now,
                body: body.clone(),
            })));
        }
        Some(body)
    }

    /// Renders an answer. `None` if long answers take too many bytes already and this one
    /// has `large` bytes or more.
    pub(super) fn render_unless_full(
        &self,
        rendering: &Rendering<'_>,
        large: usize,
        render: impl FnOnce() -> String,
    ) -> Option<String> {
        let is_full = self.unread.is_full();
        // The answer to each request of a crowd would be rendered in vain.
        if is_full && rendering.least_length() >= large {
            return None;
        }
        let rendered = render();
        (!is_full || rendered.len() < large).then_some(rendered)
    }

    /// Frees the answers that no further request gets. They may themselves fill the budget.
    fn forget_outdated(&self, rendering: &Rendering<'_>) {
        let all = self.text.iter().chain(&self.json);
        #[cfg(feature = "page")]
        let all = all.chain(&self.html);
        for last in all {
            let cached = last.load();
            if cached.as_ref().is_some_and(|it| !it.is_current(rendering)) {
                last.store(None);
            }
        }
    }
}

impl CachedAnswer {
    fn is_current(&self, rendering: &Rendering<'_>) -> bool {
        self.version == rendering.selection.data.version
            && rendering.now.saturating_duration_since(self.at) < MAX_AGE
    }

    fn is_answer_to(&self, rendering: &Rendering<'_>) -> bool {
        let question = rendering.question;
        self.is_current(rendering)
            && self.verbose == question.query.verbose
            && self.detail == rendering.detail
            && self.topic == question.topic
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use crate::probe::{Detail, Probes};
    use crate::registry::{Readiness, Subsystem};
    use http::Request;
    use http_body_util::{BodyExt, Empty};
    use tower::ServiceExt;

    #[cfg(feature = "page")]
    #[tokio::test]
    async fn the_page_is_shared_and_no_answer_in_another_format() {
        use crate::probe::Page;
        let readiness = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = readiness.build().unwrap();
        let probes = Probes::builder(&readiness).detail(Detail::Full);
        let probes = probes.build().unwrap().with_page(Page {
            render: |_, events, _| events.repeat(super::LARGE_ANSWER),
            policy: "default-src 'none'",
        });
        let ask = async |accept: &str| {
            let request = Request::get("/statusz").header("accept", accept);
            let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
            let response = probes.clone().oneshot(request).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        let page = ask("text/html").await;
        assert!(page.starts_with(b"/statusz/events/statusz/events"));
        assert!(ask("application/json").await.starts_with(b"{"));
        assert!(ask("text/plain").await.starts_with(b"["));
        assert_eq!(ask("text/html").await.as_ptr(), page.as_ptr());
    }

    async fn get(probes: &Probes, path: &str, accept: &str) -> bytes::Bytes {
        let request = Request::get(path).header("accept", accept);
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = probes.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// Probes of a process with this many subsystems, whose names begin with `prefix`.
    fn probes_of(subsystems: usize, prefix: &str) -> Probes {
        let subsystems = (0..subsystems).map(|index| Subsystem::new(format!("{prefix}-{index}")));
        let readiness = subsystems.fold(Readiness::builder(), crate::Builder::subsystem);
        let readiness = readiness.build().unwrap();
        let probes = Probes::builder(&readiness).detail(Detail::Full);
        probes.build().unwrap()
    }

    fn probes() -> Probes {
        probes_of(500, &"x".repeat(100))
    }

    #[tokio::test]
    async fn the_answers_of_different_probes_are_shared_at_the_same_time() {
        let probes = probes();
        let paths = ["/statusz", "/readyz?verbose", "/livez?verbose"];
        for accept in ["text/plain", "application/json"] {
            let mut answers = Vec::new();
            for path in paths.iter().chain(&paths) {
                answers.push(get(&probes, path, accept).await.as_ptr());
            }
            assert_eq!(answers[..3], answers[3..], "{accept}");
        }
    }

    #[tokio::test]
    async fn clients_that_do_not_read_make_no_short_answer_shorter() {
        let long = "x".repeat(100);
        for (subsystems, prefix, is_short) in
            [(30, &*long, true), (500, &*long, false), (500, "x", false)]
        {
            let probes = probes_of(subsystems, prefix);
            let unread = &probes.0.large_answers.unread;
            let unread = unread.count("x".repeat(32 << 20));
            for (path, accept) in [("/statusz", "text/plain"), ("/readyz", "application/json")] {
                let answer = get(&probes, path, accept).await;
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let names = answer.matches("x-29").count();
                assert_eq!(names > 0, is_short, "{path}: {answer}");
            }
            drop(unread);
            let answer = get(&probes, "/statusz", "*/*").await;
            assert!(String::from_utf8_lossy(&answer).contains("x-29"));
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_short_still_names_what_is_excluded() {
        let probes = probes();
        let unread = &probes.0.large_answers.unread;
        let _unread = unread.count("x".repeat(32 << 20));
        let name = |index| format!("{}-{index}", "x".repeat(100));
        let query = format!("exclude={}&exclude=unknown", name(7));
        let text = get(&probes, &format!("/livez?verbose&{query}"), "*/*").await;
        let expected = format!(
            "no subsystem to exclude: unknown\n[+]{} starting (required, unclaimed, excluded)\nlive\n",
            name(7)
        );
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let json = get(&probes, &format!("/readyz?{query}"), "application/json").await;
        let json: crate::wire::JsonAnswer<'_> = serde_json::from_slice(&json).unwrap();
        assert_eq!(json.excluded, [name(7)]);
        assert_eq!(json.unknown, ["unknown"]);
        assert_eq!(json.subsystems.unwrap().len(), 1);
        assert!(!json.ok && json.version.is_some());
    }

    #[tokio::test]
    async fn outdated_answers_do_not_fill_the_budget() {
        let probes = probes();
        for path in ["/statusz", "/readyz?verbose", "/livez?verbose"] {
            get(&probes, path, "*/*").await;
        }
        let unread = &probes.0.large_answers.unread;
        let own = get(&probes, "/statusz", "*/*").await.len();
        // With the cached answers the budget is full, and without those of the others not.
        let _unread = unread.count("x".repeat((32 << 20) - 2 * own));
        assert!(unread.is_full());
        probes.0.readiness.drain();
        let answer = get(&probes, "/healthz?verbose", "*/*").await;
        assert!(answer.len() > super::LARGE_ANSWER);
    }

    #[tokio::test]
    async fn probes_with_another_detail_share_the_cache_but_no_answer() {
        let name = |index| format!("{}-{index}", "x".repeat(100));
        let subsystems = (0..500).map(|index| Subsystem::new(name(index)));
        let readiness = subsystems.fold(Readiness::builder(), crate::Builder::subsystem);
        let readiness = readiness.build().unwrap();
        let full = Probes::builder(&readiness).detail(Detail::Full);
        let full = full.build().unwrap();
        // As an admin listener does.
        let mut names = full.clone();
        names.config().detail = Some(Detail::Names);
        let has_ages = async |probes: &Probes| {
            let request = Request::get("/statusz").body(Empty::<bytes::Bytes>::new());
            let response = probes.clone().oneshot(request.unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() >= super::LARGE_ANSWER);
            String::from_utf8_lossy(&body).contains(" for ")
        };
        for _ in 0..2 {
            assert!(has_ages(&full).await);
            assert!(!has_ages(&names).await);
        }
    }
}
