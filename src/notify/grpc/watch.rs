use super::status;
use crate::{
    registry::{NameError, Registry, check_name},
    state::Phase,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{sync::OwnedSemaphorePermit, task::consume_budget};
use tonic::{Status, codegen::tokio_stream::Stream};
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

/// The statuses of one service, as they change: the answer to a `Watch`.
///
/// It ends when the process closes, or nobody is left who could report.
pub(super) struct Statuses {
    registry: Arc<Registry>,
    /// `None` for a name that no subsystem can ever have.
    service: Option<Arc<str>>,
    last: Option<ServingStatus>,
    next: Option<Next>,
    _permit: OwnedSemaphorePermit,
}

type Next = Pin<Box<dyn Future<Output = Option<ServingStatus>> + Send>>;

impl Statuses {
    /// `permit` is given back with the stream.
    pub(super) fn new(
        registry: Arc<Registry>,
        service: &str,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut statuses = Self {
            registry,
            service: can_exist(service).then(|| service.into()),
            last: None,
            next: None,
            _permit: permit,
        };
        statuses.next = Some(statuses.next());
        statuses
    }

    /// The next status that is not the last, or `None` at the end.
    fn next(&self) -> Next {
        let (registry, service) = (Arc::clone(&self.registry), self.service.clone());
        let last = self.last;
        Box::pin(async move {
            let changed = registry.wait_for(|data| {
                let status = service.as_ref().and_then(|name| status::of(data, name));
                let status = status.unwrap_or(ServingStatus::ServiceUnknown);
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

/// Whether there is a service of this name, or a subsystem of this name may be
/// added. Any other name, of up to the 4 MiB of a message, is not kept.
fn can_exist(service: &str) -> bool {
    service.is_empty() || matches!(check_name(service), Ok(()) | Err(NameError::Reserved))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};
    use tokio::sync::Semaphore;
    use tokio_test::{assert_pending, assert_ready_ok, task};
    use tonic::codegen::tokio_stream::StreamExt;

    fn watch(readiness: &Readiness, service: &str) -> Statuses {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Statuses::new(Arc::clone(readiness.registry()), service, permit)
    }

    #[test]
    fn a_name_that_cannot_exist_is_answered_and_not_kept() {
        let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = builder.build().unwrap();
        for name in [
            "a b",
            "a/b",
            "naïve",
            &"x".repeat(129),
            &"x".repeat(1 << 22),
        ] {
            let mut statuses = watch(&readiness, name);
            assert_eq!(statuses.service, None);
            let mut next = task::spawn(statuses.try_next());
            let status = assert_ready_ok!(next.poll()).unwrap().status();
            assert_eq!(status, ServingStatus::ServiceUnknown);
            drop(next);
            assert_pending!(task::spawn(statuses.try_next()).poll(), "it goes on");
        }
        for name in ["", "readiness", "runtime", "storage", "not-yet-there"] {
            assert_eq!(watch(&readiness, name).service.as_deref(), Some(name));
        }
    }
}
