use super::{
    decision::{Basis, Close, Decision},
    gate::Gate,
    head::RequestHead,
    layer::ReadinessLayer,
    refusal::Refusal,
    waiting_request::WaitingRequest,
};
use crate::{
    state::Reasons,
    sync::OwnedSemaphorePermit,
    traffic::{InFlightGuard, ResponseGuard},
};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use std::{
    future::poll_fn,
    sync::{Arc, LazyLock},
    thread,
};

/// Stands for work that has no head. Over HTTP/2, no response says `connection: close`.
static NO_HEAD: LazyLock<Request<()>> = LazyLock::new(|| {
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    request
});

impl ReadinessLayer {
    /// Returns the gate of this layer, for servers without Tower and for work that is no
    /// request. It decides as the services of the layer do, and shares their
    /// [counts](Self::counts).
    pub fn direct(&self) -> DirectGate {
        DirectGate(Arc::clone(self.shared()))
    }
}

/// A gate that the application asks itself; see [`ReadinessLayer::direct`].
///
/// ```
/// # use std::collections::VecDeque;
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// # readiness.reporter("storage")?.leave_ready();
/// # let mut queue = VecDeque::from(["a", "b"]);
/// # let handle = async |_job: &str| Ok::<(), std::io::Error>(());
/// let gate = ReadinessLayer::gate(&readiness).count_in_flight().direct();
/// // Ends when the process drains.
/// while readiness.wait_ready().await.is_ok() {
///     let Ok(admitted) = gate.try_admit() else {
///         continue; // no longer ready
///     };
///     let Some(job) = queue.pop_front() else { break };
///     match handle(job).await {
///         Ok(()) => admitted.succeeded(),
///         Err(_) => admitted.failed(),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DirectGate(Arc<Gate>);

impl DirectGate {
    /// Decides on a request. Allocates nothing if it admits.
    ///
    /// Never waits: where the layer [holds](crate::Action::hold) a request, this refuses it,
    /// and [`decide_or_hold`](Self::decide_or_hold) waits.
    /// Probes are the server's: it asks [`Probes`](crate::probe::Probes) first.
    ///
    /// # Errors
    ///
    /// When the request is refused. [`response`](Self::response) makes the response of the
    /// layer.
    #[inline]
    pub fn decide<'h>(&self, head: impl Into<RequestHead<'h>>) -> Result<Admitted, Refusal> {
        let head = head.into();
        if self.0.is_open() {
            return Ok(self.admitted(head, true, Close::No));
        }
        self.decide_slow(head)
    }

    /// Decides on a request, and waits where the layer [holds](crate::Action::hold) one:
    /// with the same bounds, places and counts.
    ///
    /// Cancel safe: a request whose future is dropped gives its place back.
    ///
    /// # Errors
    ///
    /// When the request is refused, at once or at the end of its wait.
    pub async fn decide_or_hold<'h>(
        &self,
        head: impl Into<RequestHead<'h>>,
    ) -> Result<Admitted, Refusal> {
        let head = head.into();
        if self.0.is_open() {
            return Ok(self.admitted(head, true, Close::No));
        }
        self.hold(head).await
    }

    /// Decides on work that is no request, and waits where the layer holds requests: see
    /// [`decide_or_hold`](Self::decide_or_hold) and [`try_admit`](Self::try_admit).
    ///
    /// # Errors
    ///
    /// When the work is refused, at once or at the end of its wait.
    pub async fn admit(&self) -> Result<Admitted, Refusal> {
        self.decide_or_hold(&*NO_HEAD).await
    }

    /// Decides on work that is no request, such as a message of a queue.
    ///
    /// Predicates of the layer see a `GET` of `/` over HTTP/2.
    ///
    /// # Errors
    ///
    /// When the work is refused.
    pub fn try_admit(&self) -> Result<Admitted, Refusal> {
        self.decide(&*NO_HEAD)
    }

    /// Returns the response with which the layer refuses this request: 503, or a gRPC
    /// status, and what its [responder](ReadinessLayer::respond_with) makes of it.
    pub fn response<'h>(
        &self,
        refusal: Refusal,
        head: impl Into<RequestHead<'h>>,
    ) -> Response<Full<Bytes>> {
        self.0.respond(refusal, self.0.basis(), head.into())
    }

    #[cold]
    fn decide_slow(&self, head: RequestHead<'_>) -> Result<Admitted, Refusal> {
        let gate = &self.0;
        let basis = gate.basis();
        let mut passed = Reasons::NONE;
        self.carry_out(gate.decide(basis, &mut passed, head), basis, head)
    }

    /// Carries out a decision without a wait.
    fn carry_out(
        &self,
        decision: Decision<'_>,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> Result<Admitted, Refusal> {
        let gate = &self.0;
        match decision {
            Decision::Admit => {
                gate.record_admitted(basis, head);
                let close = gate.closes_connection(basis, head);
                let ready = basis.verdict.reasons().is_empty();
                Ok(self.admitted(head, ready, close))
            }
            Decision::Refuse(reason) | Decision::Hold(reason, _) => {
                Err(gate.count_refusal(reason, basis, head))
            }
        }
    }

    async fn hold(&self, head: RequestHead<'_>) -> Result<Admitted, Refusal> {
        let gate = &self.0;
        let basis = gate.basis();
        let mut passed = Reasons::NONE;
        let decision = gate.decide(basis, &mut passed, head);
        let Decision::Hold(reason, hold) = decision else {
            return self.carry_out(decision, basis, head);
        };
        let Some(mut waiting) = WaitingRequest::held(gate, reason, hold, basis, passed) else {
            return self.carry_out(decision, basis, head);
        };
        let refuse = |(reason, basis)| gate.count_refusal(reason, basis, head);
        poll_fn(|cx| waiting.poll_gate(head, cx))
            .await
            .map_err(refuse)?;
        Ok(Admitted {
            in_flight: waiting.in_flight.take(),
            _release: waiting.release.take(),
            close: gate.closes_connection(gate.basis(), head),
        })
    }

    #[inline]
    fn admitted(&self, head: RequestHead<'_>, ready: bool, close: Close) -> Admitted {
        Admitted {
            in_flight: self.0.enter(head, ready),
            _release: None,
            close,
        }
    }
}

crate::debug::fields!(DirectGate, |this| {
    scope: this.0.settings.scope,
});

/// Admitted work, in flight until dropped.
///
/// The layer counts it as in flight if it [counts those](ReadinessLayer::count_in_flight),
/// and its outcome if it [observes those](ReadinessLayer::observe_outcomes). A drop tells no
/// outcome, unless it is by a panic, which is a failure.
#[derive(Debug)]
#[must_use = "the work is in flight only until this is dropped"]
pub struct Admitted {
    in_flight: Option<InFlightGuard>,
    /// Lets the next held work go on when this has ended.
    _release: Option<OwnedSemaphorePermit>,
    close: Close,
}

impl Admitted {
    /// Returns whether the response has to say `connection: close`. Never for CONNECT, whose
    /// response may begin a tunnel.
    pub fn closes_connection(&self) -> bool {
        self.close == Close::Yes
    }

    /// Ends the work, which has succeeded.
    pub fn succeeded(mut self) {
        drop(self.in_flight.take().map(ResponseGuard::new));
    }

    /// Ends the work, which has failed by a fault of this process or of a subsystem.
    pub fn failed(mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.count_failed();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(in_flight) = self.in_flight.take().filter(|_| thread::panicking()) {
            in_flight.count_failed();
        }
    }
}
