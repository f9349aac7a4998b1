//! Without a clock.

use crate::sent::{Sent, application, body, options, others_run, post, refusing};
use futures_util::FutureExt;
use http::{Request, Response};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::gate::UnreadBody;

/// Refuses one request whose body is there and one whose body is not.
fn there_and_not(refuse: impl Fn(Request<Sent>) -> Vec<String>) {
    let (mut sender, there) = body();
    sender.send(10);
    sender.end();
    assert!(refuse(post(there)).is_empty());

    let (sender, not_there) = body();
    sender.send(10);
    assert_eq!(refuse(post(not_there)), ["close"]);
    assert!(sender.is_dropped());
}

fn owned<B>(response: &Response<B>) -> Vec<String> {
    options(response).into_iter().map(str::to_owned).collect()
}

#[test]
fn without_a_runtime_the_received_part_is_read() {
    let service = refusing(UnreadBody::default()).layer(service_fn(application));
    there_and_not(|request| {
        let response = service.clone().oneshot(request).now_or_never();
        owned(&response.unwrap().unwrap())
    });
}

#[test]
fn on_a_runtime_without_timers_the_received_part_is_read() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let service = refusing(UnreadBody::default()).layer(service_fn(application));
    there_and_not(|request| {
        runtime.block_on(async {
            let response = service.clone().oneshot(request).await.unwrap();
            others_run().await;
            owned(&response)
        })
    });
}

/// hyper has the first bytes of most bodies when it is asked for them again.
#[test]
fn on_a_runtime_without_timers_the_part_of_the_next_turn_is_read() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut service = refusing(UnreadBody::default()).layer(service_fn(application));
    runtime.block_on(async {
        let (mut sender, arrives) = body();
        let mut call = task::spawn(service.call(post(arrives)));
        assert_pending!(call.poll());
        assert!(call.is_woken());
        sender.send(10);
        sender.end();
        assert!(options(&assert_ready_ok!(call.poll())).is_empty());
    });
}
