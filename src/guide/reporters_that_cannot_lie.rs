//! How to write reporters that cannot lie.
//!
//! Readiness is worth what is reported. A subsystem that says ready while it is
//! not takes requests that fail, one that says failing while it is not refuses
//! requests that would have been served, and one that has not said anything for
//! an hour may be either. Each section below closes one way to be wrong.
//!
//! # Let the owner report
//!
//! The reporter belongs into the task that does the work and would be the first
//! to notice, not into one that watches it. Then the end of the task, by a panic,
//! a cancellation or a forgotten `?`, drops the reporter, and that is a report.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Readiness, Subsystem};
//! # async fn fetch_policy() -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     // It fetches every 10 seconds, so three that are missed are too many.
//!     .subsystem(Subsystem::new("policy").ttl(Duration::from_secs(30)))
//!     .build()?;
//! let policy = readiness.reporter("policy")?;
//! tokio::spawn(async move {
//!     loop {
//!         // What was really done is what is reported.
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
//! A task that is restarted claims its reporter anew; until it has reported, the
//! subsystem stays as the drop left it.
//!
//! # Let silence count
//!
//! A task that hangs reports nothing, and what it said last stays true for ever.
//! With a [ttl](crate::Subsystem::ttl) it has to go on speaking:
//!
//! - Report, or [beat](crate::Reporter::heartbeat), **after a step of the work**:
//!   a batch, a poll of the queue, a renewed lease. A beat from a timer of its own
//!   proves that the timer runs.
//! - Choose two or three times the longest step. A beat costs a few nanoseconds
//!   and publishes nothing, so beat in the loop.
//! - Where nothing happens for long because there is nothing to do, let the loop
//!   wake up by itself (`tokio::time::timeout` around what it waits for).
//!
//! # Say ready late and failing early
//!
//! Ready is for what *was done*, not for what was begun: the port is bound, the
//! first sync is in, a query was answered. What cannot fail any more once it is
//! there says so by [`leave_ready`](crate::Reporter::leave_ready).
//!
//! Failing is for what the subsystem cannot do *now*. Say why, in words that
//! help at night: the reason is what an operator sees first. Whoever retries
//! says [`starting`](crate::Reporter::starting) with how far it is; it counts as
//! failing all the same. [`dead`](crate::Reporter::dead) is for what only a new
//! process mends.
//!
//! # Ask what notices nothing
//!
//! A connection pool does not know that the database is gone until somebody
//! needs it. Let a check find out before a user does. It should do the least
//! that proves the point, against the same pool that requests use, and not write
//! to what others share. (A local store is another matter: a file that was moved
//! away can still be read and written by whoever has it open, so prove a write,
//! and that the path still leads to the file that is open.) Say in the error
//! *what* could not be reached: "No such file or directory" alone helps nobody.
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
gets a thread of its own, and not another one while it hangs:

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
so that one lost packet does not close the gate. Whatever replicas have in
common is [shared](crate::Subsystem::shared), however it is found out; see
[choosing what is required](super::choosing_what_is_required).
"##
)]
//!
//! # Damp what flaps, and nothing else
//!
//! A link that reconnects within a second need not close the gate:
//! [`hold_down`](crate::Subsystem::hold_down) lets a report of being down count
//! only when it has lasted, and shows it meanwhile. It costs as much time when
//! the link is really gone, so keep it below what a load balancer takes to
//! notice. Do not damp in your own code, for nobody could see it.
//!
//! # Watch what runs all of them
//!
//! Code that blocks the threads of the runtime silences every reporter at once.
//! [`watch_runtime`](crate::Readiness::watch_runtime) notices from another
//! thread, and liveness turns red, for which a restart is the cure. (A runtime
//! that is only overloaded, so that tasks get their turns late, degrades: a
//! restart would hand its load to the other replicas. Red takes a
//! supervisor: a process whose runtime is blocked hears no SIGTERM either, and
//! only SIGKILL ends it.)
//!
//! # What the crate does not believe
//!
//! | what happens | what is shown |
//! |---|---|
//! | the reporter is dropped: a panic, a cancelled task | `failing: reporter dropped`, dead where it is vital; with `was ready; keep the reporter, or call leave_ready()` if it had reported ready |
//! | nobody has claimed the subsystem | starting, `unclaimed` |
//! | no report or beat for the ttl | stale, `silent for 30s; last report: ready` |
//! | the process was stopped and goes on | everybody has one more ttl to speak |
//! | a check hangs, panics, or blocks its thread | failing, failing, stale |
//! | the runtime of a check ends | `failing: its runtime has ended`, until another runtime runs the check |
//! | the runtime is blocked | `runtime` stale, and with it everybody whose silence counts; probes of that runtime time out, those on a [thread](crate::server) answer |
//! | the runtime is overloaded | `runtime` degraded |
//! | a check's answer is older than what its owner reported | nothing: it is discarded |
//! | a dropped reporter or silence while the process drains | nothing: tasks end in any order then |
