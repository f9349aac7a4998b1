//! The promises of the crate: the failure that each prevents, the command that shows it, and
//! the limits of the proof.
//!
//! Each row names a test that was seen to fail with the promise broken. Commands are run in
//! a clone of the repository; `.ci/run --help` lists all of them, and `.ci/run` runs those
//! that take minutes.
//!
//! | promise | without it | see it |
//! |---|---|---|
//! | Every surface gives the same answer for the same snapshot. | A load balancer sends traffic that the gate refuses, or systemd restarts a process that a probe calls healthy. | `cargo test --all-features --test parity`: 250 random histories, 2,000 in CI, 17 surfaces, and a model of 150 lines, made from the truth table alone; for each surface and column a lie that is found. 100,000 with `PROPTEST_CASES=100000`. |
//! | The start latch stays latched, a drain stays a drain, versions only grow. | An outage of a dependency restarts the process; a late report sends traffic to a process that ends. | The same test, after each step; `.ci/run loom` for threads at once. |
//! | After a setter returns, every later request and probe sees that state or a newer one. | A request is admitted after the report that the disk is gone. | `.ci/run loom`: every order of the threads of the cell, the admit flags, the timer, the counters, groups, the history, connections and the log, up to a bound. |
//! | A report waits for no reader, probe, mirror or network, and at most 10 ms for its log line. | A pipe that no process reads stops the application. | `cargo test --all-features --test wakers --test log`: 5,000 waiting tasks, wakers that panic, a log subscriber that blocks. |
//! | No report, panic, dropped task, missing socket or malformed request crashes the process, or leaves it green. | A task that died leaves a green state behind. | `cargo test --all-features --test silence --test check --test stopped --test model_of_time`; `fuzz/run` for hostile bytes (`.ci/run long`: an hour each). |
//! | Hostile peers keep no probe out, and take bounded memory. | A client with a thousand sockets makes liveness fail, and the process is restarted. | `cargo test --all-features --test hostile`: 19 attacks on the port of an application with `drain::serve` and on an admin listener, each with 60 probes, of which 59 are answered. |
//! | An admitted request allocates nothing, takes no lock, makes no system call. | The gate is turned off where each microsecond counts. | `cargo test --all-features --test allocations`; `.ci/run budgets` counts the instructions, and fails at 3 % more. |
//! | A process that runs for long keeps no task, descriptor or memory, wakes each subscriber, and refuses a request only for a reason that one of its versions had. | A process grows until it is killed, or a subscriber waits for ever. | `tests/e2e/soak` (`--seconds 1200`: 20 minutes): a server under load while it is stopped, suspended, paused and reconfigured, and its clock jumps; then its tasks, descriptors and live heap are compared with those before. `--self-test` shows seven faults that it finds. |
//! | A rolling restart behind a real load balancer, with a delay that covers its detection time, loses no request. | Users see errors at each release. | `tests/e2e/rollout` (HAProxy), `tests/e2e/kubernetes/run`, `tests/e2e/connections` (kept connections and streams). Each has controls that lose requests, and fails if they lose none. |
//! | A refusal breaks nothing that comes after it. | A client behind a proxy gets half an answer, or the answer to another request; curl 7.88 gets none of a stream that is reset. | `cargo test --all-features --test unread_body`; `tests/e2e/proxies` (HAProxy, nginx, Envoy). |
//!
//! # Figures
//!
//! The reports in the repository have all runs and how they were made:
//! `tests/e2e/results/rollout.md` (HAProxy), `kubernetes.md`, `connections.md`, and
//! `benches/RESULTS.md`.
//!
//! How far the peak of the resident memory rose during an attack (`cargo test --all-features
//! --test hostile -- --nocapture`, without optimization; 18 MiB before; the port of the
//! application, then the admin listener):
//!
//! | attack | application | admin |
//! |---|---:|---:|
//! | 10,000 idle connections | 33.2 MiB | 0.4 MiB |
//! | 150 connections to a process with 128 descriptors | 2.2 MiB | 1.7 MiB |
//! | 100 peers that send heads byte by byte, or close their half | 1.6 MiB | 1.5 MiB |
//! | pipelined probes, answers unread | 0.5 MiB | 0.2 MiB |
//! | endless heads of HTTP/1 | 2.5 MiB | 0.1 MiB |
//! | 64 peers that read none of an answer of 8 MiB | 1.2 MiB | 1.1 MiB |
//! | HTTP/2: rapid reset, `CONTINUATION`, `SETTINGS`, `PING`, empty `DATA` | 0.3 MiB | 0.3 MiB |
//! | HTTP/2: `DATA` of one byte | 3.8 MiB | 0.3 MiB |
//! | HTTP/2: 6,400 streams without a window | 18.2 MiB | 0.3 MiB |
//!
//! In twenty minutes of `tests/e2e/soak --seconds 1200`, on two processors shared with other
//! work, a debug build went through 727,136 versions, 2,056 drained replicas, 1,537 admin
//! listeners that started and stopped, 134 stops by signal, 133 suspensions and 132 jumps of the
//! wall clock. It admitted 1,152,661 requests of clients and refused 227,125; the history
//! explained each. No request failed. 5 tasks and 20 descriptors were there before and after;
//! the live heap grew by 0.2 % of 1.6 MB.
//!
//! # What is not proved
//!
//! - **Other systems.** All tests run on Linux with x86-64. The compiler checks Windows,
//!   macOS and other processors; nothing runs there.
//! - **Other compilers.** All tests run with the stable compiler. With the oldest that the crate
//!   promises, the unit tests run (`.ci/run minimum_tests`), without gRPC.
//! - **Other versions.** Kubernetes is 1.20.2, because Debian has its source; HAProxy,
//!   nginx, systemd, Prometheus and Chromium are those of Debian 12. Load balancers of
//!   clouds, service meshes and HTTP/3 are not tried.
//! - **Machines.** Clients, balancers and replicas share one machine with two processors,
//!   so its network loses no packet. Latencies compare within a table only.
//! - **Memory order.** loom explores the orders of a model with few threads and steps, and
//!   models tokio's own primitives by simpler ones. `tests/e2e/thread_sanitizer` finds the data
//!   races of a run, in all dependencies, but tries no other order.
//! - **Floods.** The probes of an attack wait for up to 30 seconds, so that a slow machine does
//!   not fail the test. Most floods come from four peers that pause after each 50 frames,
//!   because peers and process share two processors. Peers that keep requests open, or keep
//!   the backlog of the kernel full, keep others out of the port of an application; an admin
//!   listener has descriptors of its own.
//! - **Time.** Runs last minutes. A leak of a few bytes a day would not show: the soak permits
//!   2 % of a live heap of 1.6 MB.
//! - **`kill -9`**, a kernel panic, or a machine that loses its power lose the requests in
//!   flight; no process can help that.
//! - **Clients.** A client that ignores GOAWAY or `connection: close` may lose the request
//!   that it sends after them.
//!
//! ```
//! // The promise that the others rest on: one snapshot, which all answers come from.
//! use tower_readiness::{Readiness, Subsystem};
//!
//! let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let before = readiness.snapshot();
//! readiness.reporter("storage")?.leave_ready();
//! let after = readiness.snapshot();
//! assert!(after.version() > before.version());
//! assert!(after.verdict().is_ready() && !before.verdict().is_ready());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
