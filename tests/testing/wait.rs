//! Waits for a snapshot.

use super::{SECOND, ready};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::{task::yield_now, time::Instant};
use tower_readiness::{Readiness, State, Subsystem, testing::WaitForError};

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_snapshot_that_is_expected() {
    let (readiness, storage) = ready();
    let waiting = readiness.wait_state("storage", State::Failing, 5 * SECOND);
    let report = async {
        tokio::time::sleep(SECOND).await;
        storage.failing("disk full");
    };
    let (found, ()) = tokio::join!(waiting, report);
    assert_eq!(
        found.unwrap().subsystem("storage").unwrap().reason(),
        Some("disk full")
    );
    let found = readiness
        .wait_for(SECOND, |it| it.verdict().has_started())
        .await;
    assert_eq!(found.unwrap().version(), readiness.snapshot().version());
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_vain_explains_the_last_snapshot() {
    let (readiness, storage) = ready();
    storage.failing("disk\nfull");
    let _paused = readiness.pause("upgrade");
    let begun = Instant::now();
    let error = readiness
        .wait_state("storage", State::Ready, 5 * SECOND)
        .await
        .unwrap_err();
    let explained =
        "the process is started and failing, paused (upgrade): storage failing (disk full)";
    assert_eq!(
        error.to_string(),
        format!("storage is not ready within 5s, but failing (disk full); {explained}")
    );
    assert!(begun.elapsed() >= 5 * SECOND);
    let error = readiness.wait_for(SECOND, |_| false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no snapshot within 1s is as expected: {explained}")
    );
    let error = readiness
        .wait_state("disk", State::Ready, SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, WaitForError::Unknown { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_vain_explains_a_subsystem_that_is_no_cause() {
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("search").optional().hold_down(60 * SECOND));
    let readiness = builder.build().unwrap();
    let search = readiness.reporter("search").unwrap();
    let wait = async |state| {
        let error = readiness.wait_state("search", state, SECOND).await;
        error.unwrap_err().to_string()
    };
    search.failing("no index");
    let process = "the process is starting and starting: storage starting";
    assert_eq!(
        wait(State::Ready).await,
        format!("search is not ready within 1s, but failing (no index); {process}")
    );
    search.ready();
    search.failing("no index");
    assert_eq!(
        wait(State::Failing).await,
        format!(
            "search is not failing within 1s, but ready, with a report that does not count yet: \
             failing (no index); {process}"
        )
    );
    let retire = async {
        yield_now().await;
        search.retire();
    };
    let (error, ()) = tokio::join!(wait(State::Dead), retire);
    assert_eq!(
        error,
        format!("search is not dead within 1s, but retired; {process}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_has_consumed_nothing() {
    let (readiness, storage) = ready();
    let mut seen = Vec::new();
    let mut cancelled = Box::pin(readiness.wait_for(SECOND, |it| {
        seen.push(it.version());
        false
    }));
    assert!(cancelled.as_mut().now_or_never().is_none());
    drop(cancelled);
    assert_eq!(seen, [readiness.snapshot().version()]);
    storage.failing("disk full");
    let found = readiness.wait_state("storage", State::Failing, Duration::ZERO);
    assert_eq!(
        found.now_or_never().unwrap().unwrap().version(),
        readiness.snapshot().version()
    );
}
