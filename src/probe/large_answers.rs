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
const LARGE_ANSWER: usize = 16 << 10;

/// The maximum age of a shared answer.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Caches the last large answer in each format, for all equal requests within the
/// same second.
///
/// A client that requests thousands of subsystems in a loop thus delays no probe,
/// and clients that do not read their answers share the same bytes. Takes no lock.
#[derive(Default)]
pub(super) struct LargeAnswers {
    text: ArcSwapOption<CachedAnswer>,
    json: ArcSwapOption<CachedAnswer>,
    #[cfg(feature = "page")]
    html: ArcSwapOption<CachedAnswer>,
    unread: UnreadAnswers,
}

/// A rendered answer and the request that it answers.
struct CachedAnswer {
    probe: Probe,
    topic: Topic,
    verbose: bool,
    detail: Detail,
    version: u64,
    at: Instant,
    body: Bytes,
}

impl LargeAnswers {
    /// The bytes of all large answers that clients have not read yet.
    #[cfg(all(any(feature = "events", feature = "metrics"), feature = "server"))]
    pub(super) fn unread(&self) -> &UnreadAnswers {
        &self.unread
    }

    /// Returns the answer to a question that lists subsystems, or `None` if long
    /// answers take too many bytes already.
    pub(super) fn get_or_render(
        &self,
        rendering: &Rendering<'_>,
        render: impl FnOnce() -> String,
    ) -> Option<Bytes> {
        let question = rendering.question;
        let last = match question.format {
            Format::Text => &self.text,
            Format::Json => &self.json,
            #[cfg(feature = "page")]
            Format::Html => &self.html,
        };
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
            // The cached answer is outdated, and may itself fill the budget.
            last.store(None);
            return None;
        }
        let rendered = render();
        if rendered.len() < LARGE_ANSWER {
            return Some(rendered.into());
        }
        let body = self.unread.count(rendered);
        if is_shared {
            last.store(Some(Arc::new(CachedAnswer {
                probe: question.probe,
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
}

impl CachedAnswer {
    fn is_answer_to(&self, rendering: &Rendering<'_>) -> bool {
        let question = rendering.question;
        self.version == rendering.selection.data.version
            && rendering.now.saturating_duration_since(self.at) < MAX_AGE
            && self.probe == question.probe
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
