//! After the answer.

use crate::{
    sent::{
        MILLISECOND, Sender, Sent, application, body, options, others_run, pass, post, refusing,
    },
    support::starting,
};
use futures_util::FutureExt;
use http::{Request, Response};
use std::{convert::Infallible, time::Duration};
use tokio::time::Instant;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, service_fn};
use tower_readiness::{
    ReadinessLayer,
    gate::{RetryAfter, UnreadBody},
};

/// The sender of a body whose refusal has been answered with `close`.
async fn lingering<S, R>(service: &mut S) -> Sender
where
    S: Service<Request<Sent>, Response = Response<R>, Error = Infallible>,
{
    let (sender, body) = body();
    let mut call = Box::pin(service.call(post(body)));
    assert!(call.as_mut().now_or_never().is_none());
    pass(300 * MILLISECOND).await;
    let response = call.await.unwrap();
    assert_eq!(options(&response), ["close"]);
    others_run().await;
    sender
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_lingers_for_5_seconds_and_is_held_for_half_a_second() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let sender = lingering(&mut service).await;
    pass(Duration::from_secs(4)).await;
    sender.send(1);
    pass(4_999 * MILLISECOND).await;
    pass(MILLISECOND).await;
    let polls = sender.polls();
    assert_ne!(polls, 0);
    pass(499 * MILLISECOND).await;
    assert!(!sender.is_dropped());
    pass(MILLISECOND).await;
    assert!(sender.is_dropped());
    assert_eq!(sender.polls(), polls, "it was not read any more");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_lingers_for_30_seconds_whatever_its_length() {
    let mut service = refusing(UnreadBody::builder().drain_bytes(10).build().unwrap())
        .layer(service_fn(application));
    let sender = lingering(&mut service).await;
    let begin = Instant::now();
    while !sender.is_dropped() {
        sender.send(1_000_000);
        pass(500 * MILLISECOND).await;
    }
    assert_eq!(begin.elapsed(), Duration::from_millis(30_500));
}

#[tokio::test(start_paused = true)]
async fn lingering_ends_with_the_body() {
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    let mut sender = lingering(&mut service).await;
    sender.send(10);
    sender.end();
    others_run().await;
    assert!(sender.is_dropped());

    let sender = lingering(&mut service).await;
    sender.fail();
    others_run().await;
    assert!(sender.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn so_many_bodies_linger_at_a_time() {
    let layer = refusing(UnreadBody::builder().max_lingering(1).build().unwrap());
    let mut service = layer.layer(service_fn(application));
    let mut first = lingering(&mut service).await;
    // Services and layers that are derived from the layer share the bound.
    let derived = layer.retry_after(RetryAfter::never());
    let mut other = derived.layer(service_fn(application));
    let second = lingering(&mut other).await;
    assert!(!first.is_dropped());
    assert!(second.is_dropped());
    first.end();
    others_run().await;
    let third = lingering(&mut other).await;
    assert!(!third.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_lingers_is_not_in_flight() {
    let (readiness, storage) = starting();
    storage.failing("gone");
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let mut service = layer.layer(service_fn(application));
    let (sender, body) = body();
    let mut call = task::spawn(service.call(post(body)));
    assert_pending!(call.poll());
    assert_eq!(readiness.in_flight(), Some(0));
    drop(call);
    assert!(sender.is_dropped());
    let sender = lingering(&mut service).await;
    assert!(!sender.is_dropped());
    assert_eq!(readiness.in_flight(), Some(0));
}
