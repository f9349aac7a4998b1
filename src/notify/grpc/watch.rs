use super::status;
use crate::{
    registry::{NameError, Registry, check_name},
    state::Phase,
};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{sync::OwnedSemaphorePermit, task::consume_budget};
use tonic::{Status, codegen::tokio_stream::Stream};
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

/// The stream of statuses of one service: the response to a `Watch`.
///
/// It ends when its connection retires, when the process closes, or when the registry
/// is closed.
pub(super) struct WatchStream {
    registry: Arc<Registry>,
    /// `None` for an invalid name, which no subsystem can have.
    service: Option<Arc<str>>,
    last: Option<ServingStatus>,
    next: Option<Next>,
    /// Completes when the connection of the stream retires.
    retired: Retired,
    _permit: OwnedSemaphorePermit,
}

pub(super) type Retired = Pin<Box<dyn Future<Output = ()> + Send>>;
type Next = Pin<Box<dyn Future<Output = Option<ServingStatus>> + Send>>;

impl WatchStream {
    /// The stream holds `permit` until it is dropped.
    pub(super) fn new(
        registry: Arc<Registry>,
        service: &str,
        retired: Retired,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut statuses = Self {
            registry,
            service: can_exist(service).then(|| service.into()),
            last: None,
            next: None,
            retired,
            _permit: permit,
        };
        statuses.next = Some(statuses.next());
        statuses
    }

    /// Returns a future of the next status that differs from the last, or of
    /// `None` at the end.
    fn next(&self) -> Next {
        let (registry, service) = (Arc::clone(&self.registry), self.service.clone());
        let last = self.last;
        Box::pin(async move {
            let changed = registry.wait_for(|data| {
                let status = service
                    .as_ref()
                    .and_then(|name| status::by_name(data, name));
                let status = status.unwrap_or(ServingStatus::ServiceUnknown);
                if Some(status) != last {
                    Some(Some(status))
                } else {
                    (data.phase >= Phase::Closing).then_some(None)
                }
            });
            let changed = changed.await;
            // As tokio's streams do: a subsystem that flaps must not make this
            // task occupy its thread.
            consume_budget().await;
            changed.ok().flatten()
        })
    }
}

/// Returns whether a service of this name exists, or a subsystem of this name
/// may be added. Other names are not stored: they can have up to 4 MiB, the limit
/// of a message.
fn can_exist(service: &str) -> bool {
    service.is_empty() || matches!(check_name(service), Ok(()) | Err(NameError::Reserved))
}

impl Stream for WatchStream {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let status = match next.as_mut().poll(cx) {
            Poll::Ready(status) => status,
            Poll::Pending => {
                ready!(self.retired.as_mut().poll(cx));
                None
            }
        };
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

crate::debug::fields!(WatchStream, |this| {
    service: this.service,
    last: this.last,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};
    use tokio::sync::Semaphore;
    use tokio_test::{assert_pending, assert_ready_ok, task};
    use tonic::codegen::tokio_stream::StreamExt;

    fn watch(readiness: &Readiness, service: &str) -> WatchStream {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let retired = Box::pin(std::future::pending());
        WatchStream::new(Arc::clone(readiness.registry()), service, retired, permit)
    }

    #[test]
    fn an_invalid_name_is_answered_and_not_stored() {
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
            assert_pending!(
                task::spawn(statuses.try_next()).poll(),
                "the stream stays open"
            );
        }
        for name in ["", "readiness", "runtime", "storage", "not-yet-there"] {
            assert_eq!(watch(&readiness, name).service.as_deref(), Some(name));
        }
    }
}
