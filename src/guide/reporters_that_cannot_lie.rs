//! How to write reporters that cannot lie.
//!
//! Readiness is only as true as the reports. A subsystem that reports ready while
//! it is down lets requests in that fail. A subsystem that reports failing while it
//! is up gets requests refused that it could serve. A subsystem that has been
//! silent for an hour may be either. Each section below closes one way to be wrong.
//!
//! # Let the owner report
//!
//! Move the reporter into the task that does the work and would be the first to
//! notice a failure, not into a task that watches it. Then the end of the task, by
//! a panic, a cancellation or an early return by `?`, drops the reporter, and that
//! is a report.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Readiness, Subsystem};
//! # async fn fetch_policy() -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     // Fetched every 10 seconds: 30 seconds are three missed fetches.
//!     .subsystem(Subsystem::new("policy").ttl(Duration::from_secs(30)))
//!     .build()?;
//! let policy = readiness.reporter("policy")?;
//! tokio::spawn(async move {
//!     loop {
//!         // Report the result of the fetch, not the attempt.
//!         match fetch_policy().await {
//!             Ok(()) => policy.ready(),
//!             Err(error) => policy.failing(error.to_string()),
//!         }
//!         tokio::time::sleep(Duration::from_secs(10)).await;
//!     }
//! });
//! # readiness.wait_ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A restarted task claims its reporter again. Until it has reported, the subsystem
//! stays as the drop left it.
//!
//! # Let silence count
//!
//! A task that hangs reports nothing, and its last report stays for ever. With a
//! [ttl](crate::Subsystem::ttl) the task has to keep reporting:
//!
//! - Report, or [beat](crate::Reporter::heartbeat), **after a step of the work**: a
//!   batch, a poll of the queue, a renewed lease. A heartbeat from a separate timer
//!   proves only that the timer runs.
//! - Choose two or three times the longest step. A heartbeat costs a few
//!   nanoseconds and publishes nothing, so call it in the loop.
//! - Where a loop waits for long because there is no work, wake it by a timeout
//!   (`tokio::time::timeout` around the wait).
//!
//! # Report ready late and failing early
//!
//! Report ready when the work *is done*, not when it begins: the port is bound, the
//! first sync has ended, a query was answered. A subsystem that cannot fail once it
//! is up reports by [`leave_ready`](crate::Reporter::leave_ready).
//!
//! Report failing when the subsystem cannot work *now*. Give the reason in words
//! that help at night: an operator sees it first. A task that retries reports
//! [`starting`](crate::Reporter::starting) with its progress, which counts as
//! failing all the same. Report [`dead`](crate::Reporter::dead) when only a new
//! process repairs it.
//!
//! # Check a subsystem that does not notice its failure
//!
//! A connection pool does not know that the database is gone until a request needs
//! it. Let a check find out before a user does. The check should do the least that
//! proves the point, against the same pool that requests use, and write nothing
//! that replicas share. (A local store is different: a process can still read and
//! write an open file that was moved away. So prove a write, and prove that the
//! path still leads to the open file.) Name in the error the resource that could
//! not be reached: "No such file or directory" alone does not help.
#![cfg_attr(
    feature = "check",
    doc = r##"
A TCP port that accepts:

```
use std::time::Duration;
use tokio::net::TcpStream;
use tower_readiness::{Subsystem, check::Check};

let mail = Subsystem::new("mail")
    .optional()
    .check(Check::every(Duration::from_secs(10)), || async {
        TcpStream::connect("mail.internal:25").await.map(drop)
    });
```

An HTTP upstream, by its own readiness:

```
# use bytes::Bytes;
# use http_body_util::Empty;
# use hyper_util::{client::legacy::Client, rt::TokioExecutor};
# use std::time::Duration;
use tower_readiness::{Subsystem, check::{Check, Outcome}};

let client: Client<_, Empty<Bytes>> =
    Client::builder(TokioExecutor::new()).build_http();
let upstream = Subsystem::new("upstream")
    .shared()
    .check(Check::every(Duration::from_secs(5)), move || {
        let response = client.get(http::Uri::from_static("http://upstream.internal/readyz"));
        async move {
            let status = response.await?.status();
            Ok::<_, hyper_util::client::legacy::Error>(if status.is_success() {
                Outcome::ready()
            } else {
                Outcome::failing(format!("answers {status}"))
            })
        }
    });
```

A disk that fills. A call that may block, as on a network file system that hangs,
runs on a thread of its own, and no second thread starts while it hangs:

```
# #[cfg(unix)] {
# use std::time::Duration;
use tower_readiness::{Subsystem, check::{Check, Outcome}};

let disk = Subsystem::new("disk").check(
    Check::every(Duration::from_secs(30)),
    Check::blocking(|| {
        let stat = rustix::fs::statvfs("/var/lib")?;
        let free = stat.f_bavail * stat.f_frsize / (1024 * 1024);
        let outcome = match free {
            0..100 => Outcome::failing(format!("{free} MiB free")),
            100..1_000 => Outcome::degraded(format!("{free} MiB free")),
            _ => Outcome::ready(),
        };
        Ok::<_, std::io::Error>(outcome)
    }),
);
# }
```

A database, with sqlx, tokio-postgres or redis:

```text
Subsystem::new("database").shared().check(Check::every(interval), move || {
    let pool = pool.clone();
    async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
});
Subsystem::new("database").shared().check(Check::every(interval), move || {
    let client = client.clone(); // an Arc<tokio_postgres::Client>
    async move { client.simple_query("").await.map(drop) }
});
Subsystem::new("cache").optional().check(Check::every(interval), move || {
    let mut cache = cache.clone(); // a redis::aio::ConnectionManager
    async move { redis::cmd("PING").query_async::<()>(&mut cache).await }
});
```

A failed ping is shown at once and counts after [three in a row](crate::check::Check::failures),
so that one lost packet does not close the gate. Declare a dependency of all
replicas [shared](crate::Subsystem::shared), with a check as with a reporter; see
[choosing what is required](super::choosing_what_is_required).
"##
)]
//!
//! # Damp links that flap, and nothing else
//!
//! A link that reconnects within a second need not close the gate. With
//! [`hold_down`](crate::Subsystem::hold_down) a report of being down counts only
//! when it has lasted, and shows meanwhile. A real failure then counts later by the
//! same time, so keep it below the time in which a load balancer notices. Do not
//! damp in your own code: probes and logs would not show it.
//!
//! # Watch the runtime
//!
//! Code that blocks the threads of the runtime silences every reporter at once.
//! [`watch_runtime`](crate::Readiness::watch_runtime) notices from another thread
//! and turns liveness red, because a restart is the cure. (An overloaded runtime,
//! whose tasks run late, only degrades: a restart would move its load to the other
//! replicas. A process whose runtime is blocked does not handle SIGTERM either: it
//! needs a supervisor that sends SIGKILL.)
//!
//! # All of it together
//!
//! (With the features `check` and `server`.)
#![cfg_attr(
    all(feature = "check", feature = "server"),
    doc = r##"
```rust
use std::time::Duration;
use tower_readiness::{
    Readiness, ReadinessLayer, Subsystem,
    check::Check,
    watch::{RuntimeWatch, TrafficWatch},
};

async fn ping() -> Result<(), std::io::Error> {
    Ok(()) // … query the database …
}

fn declare() -> Result<(Readiness, ReadinessLayer), Box<dyn std::error::Error>> {
    let readiness = Readiness::builder()
        // Silent for 30 s is stale, which counts as failing. A heartbeat costs 2 ns.
        .subsystem(Subsystem::new("policy").ttl(Duration::from_secs(30)))
        // A failure shorter than 2 s shows, and does not count.
        .subsystem(Subsystem::new("leader").hold_down(Duration::from_secs(2)))
        // Checked every 5 s, off the request path; down after three failures in a row.
        .subsystem(
            Subsystem::new("database")
                .shared()
                .check(Check::every(Duration::from_secs(5)), ping),
        )
        .build()?;
    // Blocked threads of the runtime turn liveness red, and slow threads show.
    readiness.watch_runtime(RuntimeWatch::default())?;
    // Answers probes on a separate thread while the runtime is blocked.
    readiness.serve_on_thread("127.0.0.1:28080")?;
    // Degraded when many requests fail that were admitted while ready.
    readiness.watch_traffic(TrafficWatch::default())?;
    let layer = ReadinessLayer::new(&readiness).observe_outcomes();
    Ok((readiness, layer))
}
```
"##
)]
//!
//! # Which reports the crate corrects
//!
//! | event | shown |
//! |---|---|
//! | the reporter is dropped: a panic, a cancelled task | `failing: reporter dropped`, dead where it is vital; with `was ready; keep the reporter, or call leave_ready()` if it had reported ready |
//! | no reporter claimed the subsystem | starting, `unclaimed` |
//! | no report or heartbeat for the ttl | stale, `silent for 30s; last report: ready` |
//! | the process was stopped and continues | nothing: each subsystem gets one more ttl |
//! | a check hangs, panics, or blocks its thread | failing, failing, stale |
//! | the runtime of a check ends | `failing: its runtime has ended`, until another runtime runs the check |
//! | the runtime is blocked | `runtime` stale, and with it each subsystem with a ttl; probes of that runtime time out, probes on a [thread](crate::server) are answered |
//! | the runtime is overloaded | `runtime` degraded |
//! | a check's answer is older than the last report of the reporter | nothing: the answer is discarded |
//! | a dropped reporter or silence while the process drains | nothing: tasks end in any order then |
