use super::status;
use crate::{report::Core, state::Phase};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::task::consume_budget;
use tonic::{Status, codegen::tokio_stream::Stream};
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

/// The statuses of one service, as they change: the answer to a `Watch`.
///
/// It ends when the process closes, or nobody is left who could report.
pub(super) struct Statuses {
    core: Arc<Core>,
    service: Arc<str>,
    last: Option<ServingStatus>,
    next: Option<Next>,
}

type Next = Pin<Box<dyn Future<Output = Option<ServingStatus>> + Send>>;

impl Statuses {
    pub(super) fn new(core: Arc<Core>, service: String) -> Self {
        let mut statuses = Self {
            core,
            service: service.into(),
            last: None,
            next: None,
        };
        statuses.next = Some(statuses.next());
        statuses
    }

    /// The next status that is not the last, or `None` at the end.
    fn next(&self) -> Next {
        let (core, service) = (Arc::clone(&self.core), Arc::clone(&self.service));
        let last = self.last;
        Box::pin(async move {
            let changed = core.wait_for(|data| {
                let status = status::of(data, &service).unwrap_or(ServingStatus::ServiceUnknown);
                if Some(status) != last {
                    Some(Some(status))
                } else {
                    (data.phase >= Phase::Closing).then_some(None)
                }
            });
            let changed = changed.await;
            // As with every stream of tokio's: what flaps shall not keep the
            // thread.
            consume_budget().await;
            changed.ok().flatten()
        })
    }
}

impl Stream for Statuses {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let status = ready!(next.as_mut().poll(cx));
        self.next = status.map(|status| {
            self.last = Some(status);
            self.next()
        });
        let response = status.map(|status| HealthCheckResponse {
            status: status.into(),
        });
        Poll::Ready(response.map(Ok))
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statuses")
            .field("service", &self.service)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
