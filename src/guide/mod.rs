//! How to run a service whose users do not notice its restarts.
//!
//! - [Graceful shutdown](graceful_shutdown): when each component learns that a
//!   process ends, and which number to set where.
//! - [Choosing what is required](choosing_what_is_required): which failures close
//!   the gate.
//! - [Reporters that cannot lie](reporters_that_cannot_lie): how reports stay true.
//! - [Reporting from a library](reporting_from_a_library): how a library reports
//!   without forcing a registry on its users.
//! - [Following a process](following_a_process): the page, the terminal, the history, the
//!   event stream, and how to wait until a process is red.
//! - Metrics (page `metrics`, with that feature): the list, and recipes for other
//!   libraries.
//! - Paged at night (page `paged_at_night`, with the feature `metrics`): alert rules, a
//!   dashboard, and the way from an alert to its cause.
//! - Log (page `log`, with the feature `tracing`): the events of the crate in the log, and
//!   the line at the end of a drain.
//! - [Coming from](coming_from): tonic-health, axum-health, probes by hand, Spring Boot,
//!   ASP.NET Core, Pomerium or the kube-apiserver, and what each word is called here.
//! - [Where the layer cannot stand](where_the_layer_cannot_stand): servers without Tower,
//!   consumers of queues, and names that clients of gRPC ask for.
//! - [Mistakes](mistakes): errors of the compiler and at run time by their text, and
//!   their remedies.
//! - Testing your readiness (page `testing_your_readiness`, with the feature `test-util`):
//!   five tests to copy, none with a `sleep`.
//! - [Evidence](evidence): what is promised, how to see it fail, and what is not proved.
//! - [Deploying](deploying): which probe goes where, from Kubernetes to systemd,
//!   with files that work.
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! // Required: a part of this process. Shared: a dependency of every replica.
//! // Optional: the process serves without it.
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("cache").optional())
//!     .build()?;
//! # Ok::<(), tower_readiness::BuildError>(())
//! ```
//!
//! # Examples
//!
//! Each example runs with one command, and prints what to try next.
//!
//! | | `cargo run --example` |
//! |---|---|
//! | axum | `axum --features full` |
//! | a whole service with PostgreSQL, the layers of tower-http, metrics, page, systemd and drain, to copy | `cargo run --manifest-path examples/full_stack/Cargo.toml`, a package of its own |
//! | hyper, HTTP/1 and HTTP/2 ([accept loop](graceful_shutdown#hyper)) | `hyper` |
//! | hyper 0.14 and other servers with types of `http` 0.2, which [ask the gate themselves](where_the_layer_cannot_stand) | `cargo run --manifest-path examples/hyper_0_14/Cargo.toml`, a package of its own |
//! | TLS by rustls, with a certificate whose end closes the gate | `cargo run --manifest-path examples/tls/Cargo.toml`, a package of its own |
//! | tonic, gRPC health checks | `tonic --features grpc` |
//! | tonic and axum on one port, with a gate and a health check for the gRPC service alone | `cargo run --manifest-path examples/mux/Cargo.toml`, a package of its own |
//! | a reverse proxy, whose upstreams are a group: traffic shows which answer, and a reload changes them | `cargo run --manifest-path examples/reverse_proxy/Cargo.toml`, a package of its own |
//! | two ports with a layer each: traffic, and details for operators | `admin_port` |
//! | a consumer of a queue, whose gate admits jobs | `worker` |
//! | systemd: start, reload, watchdog, restart | `systemd --features systemd` |
//! | an identity-aware proxy with all of it, its faults, and how to cause each | `cargo run --manifest-path examples/zero_trust_proxy/Cargo.toml`, a package of its own |
//! | the service of the files in `examples/deploy` | `deploy --features full` |

#[cfg(feature = "gate")]
pub mod choosing_what_is_required;
#[cfg(feature = "gate")]
pub mod coming_from;
#[cfg(feature = "gate")]
pub mod deploying;
pub mod evidence;
#[cfg(feature = "gate")]
pub mod following_a_process;
#[cfg(feature = "gate")]
pub mod graceful_shutdown;
#[cfg(all(feature = "gate", feature = "tracing"))]
pub mod log;
#[cfg(all(feature = "gate", feature = "metrics"))]
pub mod metrics;
pub mod mistakes;
#[cfg(all(feature = "gate", feature = "metrics"))]
pub mod paged_at_night;
#[cfg(feature = "gate")]
pub mod reporters_that_cannot_lie;
pub mod reporting_from_a_library;
#[cfg(feature = "test-util")]
pub mod testing_your_readiness;
#[cfg(feature = "gate")]
pub mod where_the_layer_cannot_stand;
