//! Loom models of the eviction. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib --features serve loom`.

use super::slots::Slots;
use crate::{
    registry::{Readiness, Subsystem},
    sync::{explore, pass, paused_runtime},
};
use futures_util::FutureExt as _;
use http::{Request, Response};
use loom::{future::block_on, thread};
use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};
use tower_service::Service as _;

#[test]
fn an_evicted_connection_is_told_again_when_it_lingers_and_knows_what_it_answered() {
    explore(3, || {
        let runtime = paused_runtime();
        let _runtime = runtime.enter();
        let storage = Subsystem::new("storage");
        let readiness = Readiness::builder().subsystem(storage).build().unwrap();
        let tracked = readiness.connections().track();
        let mut slots = Slots::default();
        let slot = slots.add(&tracked);
        pass(Duration::from_secs(2));
        let connection = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let answer =
                    |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new())));
                let mut service = tracked.service(tower::service_fn(answer));
                // A slot that is not told makes this hang, which loom reports.
                block_on(slot.evicted());
                assert!(!slot.had_request_since_eviction());
                let answer = service.call(Request::new(())).now_or_never();
                drop(answer);
                assert!(slot.had_request_since_eviction());
                block_on(slot.evicted());
            })
        };
        slots.evict();
        connection.join().unwrap();
    });
}
