//! Five tests of the readiness of an application.

use http::{Request, Response};
use http_body_util::Empty;
use std::{convert::Infallible, time::Duration};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{Phase, Readiness, ReadinessLayer, State, Subsystem, check::Check};

type Body = Empty<&'static [u8]>;

const SECOND: Duration = Duration::from_secs(1);

/// The subsystems of the application. `database` answers whether it accepts connections.
fn readiness(database: fn() -> Result<(), &'static str>) -> Readiness {
    let check = Check::every(10 * SECOND);
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("policy").ttl(30 * SECOND))
        .subsystem(Subsystem::new("database").check(check, move || async move { database() }));
    builder.build().expect("the settings are valid")
}

/// The routes of the application, behind the gate.
fn app(
    readiness: &Readiness,
) -> impl Service<Request<Body>, Response = Response<impl Sized>, Error = Infallible> {
    let routes = service_fn(async |_: Request<Body>| Ok(Response::new(Body::new())));
    ReadinessLayer::new(readiness).layer(routes)
}

async fn get(readiness: &Readiness, path: &str) -> u16 {
    let request = Request::get(path).body(Body::new()).unwrap();
    let response = app(readiness).oneshot(request).await.unwrap();
    response.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_when_the_last_subsystem_is_ready() {
    let readiness = readiness(|| Ok(()));
    readiness
        .wait_state("database", State::Ready, SECOND)
        .await
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    assert_eq!(get(&readiness, "/").await, 503, "the policy is missing");

    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    assert_eq!(get(&readiness, "/").await, 200);
    assert_eq!(get(&readiness, "/readyz").await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_storage_refuses_requests_and_restarts_nothing() {
    let readiness = readiness(|| Ok(()));
    readiness.reporter("storage").unwrap().leave_ready();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    readiness
        .wait_for(SECOND, |it| it.verdict().is_ready())
        .await
        .unwrap();

    let outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    assert_eq!(get(&readiness, "/").await, 503);
    assert_eq!(get(&readiness, "/livez").await, 200);
    drop(outage);
    assert_eq!(get(&readiness, "/").await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_not_refreshed_is_noticed() {
    let readiness = readiness(|| Ok(()));
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    let begun = Instant::now();
    readiness
        .wait_state("policy", State::Stale, 60 * SECOND)
        .await
        .unwrap();
    assert!((30 * SECOND..31 * SECOND).contains(&begun.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_holds_up_the_start_and_says_why() {
    let readiness = readiness(|| Err("connection refused"));
    readiness.reporter("storage").unwrap().leave_ready();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    let error = readiness
        .wait_for(5 * SECOND, |it| it.verdict().is_ready())
        .await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("database failing (connection refused)"),
        "{error}"
    );
    assert_eq!(get(&readiness, "/startupz").await, 503);
}

#[tokio::test(start_paused = true)]
async fn a_drain_serves_for_its_delay() {
    let readiness = readiness(|| Ok(()));
    readiness.reporter("storage").unwrap().leave_ready();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    readiness
        .wait_for(SECOND, |it| it.verdict().is_ready())
        .await
        .unwrap();

    let shutdown = readiness.shutdown().delay(5 * SECOND).build().unwrap();
    let begun = Instant::now();
    readiness.drain();
    assert_eq!(
        get(&readiness, "/readyz").await,
        503,
        "load balancers learn of it"
    );
    assert_eq!(
        get(&readiness, "/").await,
        200,
        "and requests are still served"
    );
    shutdown.await;
    assert_eq!(readiness.snapshot().phase(), Phase::Closing);
    assert!((5 * SECOND..6 * SECOND).contains(&begun.elapsed()));
}
