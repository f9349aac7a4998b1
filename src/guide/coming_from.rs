//! The words of other health checks, and their counterparts in this crate.
//!
//! Three differences hold for all of them. The verdict also decides about traffic, because
//! [`ReadinessLayer`](crate::ReadinessLayer) reads the snapshot that the probes show.
//! A probe runs no check: subsystems report when their state changes, and
//! [checks](crate::check) run at an interval of their own, so that neither the number of
//! probes nor a slow dependency decides how long a probe takes. And liveness is red only
//! for a [vital](crate::Subsystem::vital) subsystem, so that the outage of a dependency
//! restarts no process.
//!
//! # Probes by hand
//!
//! | by hand | here |
//! |---|---|
//! | an `AtomicBool`, set once the process is up | a [subsystem](crate::Subsystem) for each part, each with a [`Reporter`](crate::Reporter) |
//! | a handler that sends `SELECT 1` | [`Subsystem::check`](crate::Subsystem::check), with a timeout, failures before red, and jitter |
//! | `/health` that answers 200 | `/livez`; its former path is set by [`ProbesBuilder::path`](crate::probe::ProbesBuilder::path) |
//! | a handler of SIGTERM that sets the flag and sleeps | [`Readiness::drain_on_signal`](crate::Readiness::drain_on_signal) |
//!
//! A flag stays green when the task that should clear it panics. A dropped reporter is
//! itself a report: its subsystem fails, with a reason.
//!
//! # tonic-health
//!
//! | tonic-health | here (feature `grpc`) |
//! |---|---|
//! | `health_reporter()` | [`Readiness::grpc_health`](crate::Readiness::grpc_health); the reporters are those of all other probes |
//! | `set_serving::<S>()`, `set_not_serving::<S>()` | [`Reporter::ready`](crate::Reporter::ready), [`Reporter::failing`](crate::Reporter::failing) |
//! | the name of a gRPC service, `my.pkg.Service` | an alias of a scope or subsystem, [`GrpcHealthBuilder::alias`](crate::notify::grpc::GrpcHealthBuilder::alias) |
//! | the service `""`, `SERVING` from its creation on | the service `""`, `NOT_SERVING` until the process is ready, and while it drains |
//!
//! `Check`, `Watch` and their status codes are those of the protocol, so that clients and
//! kubelets need no change.
//!
//! # axum-health
//!
//! | axum-health | here |
//! |---|---|
//! | `Health::builder().with_indicator(..)` | [`Readiness::builder`](crate::Readiness::builder) with a [`Subsystem`](crate::Subsystem) for each indicator |
//! | `HealthIndicator`, `DatabaseHealthIndicator` | a [check](crate::check), which is any closure that returns a future |
//! | a route with the handler `health`, and the layer `Health` | [`ReadinessLayer::new`](crate::ReadinessLayer::new), the last layer of the router |
//! | `UP`, `DOWN` of a component | [`State`](crate::State), which adds starting, degraded, stale and dead |
//!
//! # Spring Boot
//!
//! | Spring Boot | here |
//! |---|---|
//! | `HealthIndicator` | a [check](crate::check) for what must be asked, a [`Reporter`](crate::Reporter) for what knows its state |
//! | `ReadinessState.ACCEPTING_TRAFFIC`, `REFUSING_TRAFFIC` | the [condition](crate::Condition) of the process; for an operator's decision, [`Readiness::pause`](crate::Readiness::pause) |
//! | `LivenessState.BROKEN` | [`Reporter::dead`](crate::Reporter::dead) of a [vital](crate::Subsystem::vital) subsystem |
//! | `/actuator/health/liveness`, `/actuator/health/readiness` | `/livez`, `/readyz`, and `/startupz`, which stays green once the process has started |
//! | health groups | [scopes](crate::Builder::scope): their own probe at `/readyz/NAME`, and a gate for their routes |
//! | `show-details` | [`Detail`](crate::probe::Detail) |
//! | `server.shutdown=graceful`, `spring.lifecycle.timeout-per-shutdown-phase` | [`Readiness::drain_on_signal`](crate::Readiness::drain_on_signal), and its cap |
//!
//! Spring's graceful shutdown accepts no connection from its first moment on, so a pod needs a
//! preStop hook that sleeps. Here the drain has that delay: the process serves on while balancers notice.
//!
//! # ASP.NET Core
//!
//! | ASP.NET Core | here |
//! |---|---|
//! | `IHealthCheck`, `AddCheck` | a [check](crate::check) |
//! | `Healthy`, `Degraded` (200), `Unhealthy` (503) | ready, degraded (200), failing (503) |
//! | tags, and `MapHealthChecks` with a `Predicate` | roles, which say what a failure means to the process, and [scopes](crate::Builder::scope) |
//! | `IHealthCheckPublisher`, every 30 s | [mirrors](crate::notify), at each change |
//! | `IHostApplicationLifetime.ApplicationStopping` | [`Readiness::draining`](crate::Readiness::draining) |
//!
//! A health check of ASP.NET runs for each probe that asks. Here a probe reads the outcome
//! of the last run.
//!
//! # Pomerium
//!
//! | Pomerium | here |
//! |---|---|
//! | `/startupz`, `/readyz`, `/healthz`, `/status` at `127.0.0.1:28080` | the same and `/livez` at the address that [`Readiness::serve_on_thread`](crate::Readiness::serve_on_thread) gets; `/status` is `/statusz`, and `/healthz` is liveness |
//! | `pomerium health`, with excluded checks | `readiness check` (feature `cli`), and [`HealthCheck`](crate::client::HealthCheck) |
//! | the exclude filter of an unreliable database | the role [shared](crate::Subsystem::shared): its failure degrades, and takes no replica out |
//!
//! Pomerium shows its state to probes alone: its listeners accept traffic in every state, and
//! it stops without a delay for balancers.
//!
//! # The kube-apiserver
//!
//! | kube-apiserver | here |
//! |---|---|
//! | `/livez`, `/readyz`, and `/healthz`, which is deprecated | the same paths; `/healthz` is `/livez` |
//! | `?verbose`, with `[+]` and `[-]` | the same, where the [detail](crate::probe::Detail) allows it |
//! | `?exclude=etcd` | the same; it changes the answer and never the gate |
//! | `/livez/etcd` | `/readyz/NAME`, for subsystems and scopes |
//! | `failed: reason withheld` | the reason, with [`Detail::Full`](crate::probe::Detail::Full) only |
//! | `--shutdown-delay-duration`: `/readyz` red, `/livez` green, requests served | the delay of [`Readiness::drain_on_signal`](crate::Readiness::drain_on_signal), in which connections retire one after the other |
//! | `--livez-grace-period` | no counterpart is needed: liveness stays green while subsystems start, and `/startupz` tells when they have |
