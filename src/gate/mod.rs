//! The gate in front of a service.
mod action;
mod body;
mod counts;
mod future;
#[expect(clippy::module_inception, reason = "the gate itself")]
mod gate;
mod head;
mod layer;
mod queue;
mod refusal;
mod service;
mod waiting;

pub use self::{
    action::{Action, ActionError, Hold, Shed},
    body::ReadinessBody,
    counts::GateCounts,
    future::ResponseFuture,
    head::RequestHead,
    layer::ReadinessLayer,
    refusal::{Refusal, RetryAfter, RetryAfterError},
    service::ReadinessService,
};
