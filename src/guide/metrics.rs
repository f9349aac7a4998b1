//! Metrics: what Prometheus can know of a process.
//!
//! With the feature `metrics`, the process has one list of metrics,
//! [`Readiness::families`](crate::Readiness::families). All names begin with
//! `readiness_`, all times are seconds, and all pairs of labels exist from the start,
//! at 0. The values are read when they are asked for, so requests pay nothing.
//!
//! # Prometheus
//!
//! An [admin listener](crate::Readiness::serve) answers `/metrics` with the text format
//! of Prometheus (version 0.0.4), or with OpenMetrics 1.0.0 for a client that prefers
//! it. On a loopback address or a unix socket the listener serves metrics by default.
//! Elsewhere, as in Kubernetes, every client that can connect would learn the names of
//! subsystems, so the application has to enable it:
//!
#![cfg_attr(feature = "server", doc = "```no_run")]
#![cfg_attr(not(feature = "server"), doc = "```ignore")]
//! # use tower_readiness::{Readiness, Subsystem};
//! use tower_readiness::server::AdminListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let admin = AdminListener::new(&readiness).metrics().serve(":28080").await?;
//! # Ok(())
//! # }
//! ```
//!
//! The port of the application never serves metrics. A process that has a registry of
//! the crate `prometheus-client` already adds these metrics to it, by
//! [`Readiness::register_metrics`](crate::Readiness::register_metrics).
//!
//! The last scrape of a process that drains may be older than its end by the whole
//! interval, so the counts of the last seconds are in the log alone.
//!
//! # The list
//!
//! | name | kind | labels | value |
//! |---|---|---|---|
//! | `readiness_verdict` | gauge | `scope`, `probe` | 1 while the probe `startup`, `readiness` or `liveness` of a scope is green; **alerts use it** |
//! | `readiness_condition` | gauge | `scope`, `condition` | 1 for the present [condition](crate::Condition) of a scope |
//! | `readiness_phase` | gauge | `phase` | 1 for the present [phase](crate::Phase) of the process |
//! | `readiness_paused` | gauge | | 1 while the process is [paused](crate::Readiness::pause) |
//! | `readiness_startup_duration_seconds` | gauge | | how long the process took to start, or has taken so far |
//! | `readiness_runtime_delay_seconds` | gauge | `percentile` | how late 50 and 99 in 100 tasks are polled, where the [runtime is watched](crate::Readiness::watch_runtime) |
//! | `readiness_admin_evictions_total` | counter | | connections that admin listeners closed because others needed their slots |
//! | `readiness_connections_retired_total` | counter | | connections that were told to end at a moment of their own |
//! | `readiness_mirror_errors_total` | counter | `mirror` | messages to `systemd`, and to the file of `termination`, that could not be sent or written |
//! | `readiness_log_lines_dropped_total` | counter | | changes and lines that were not logged, because the log was not read in time |
//! | `readiness_build_info` | info | `version` | 1; the version of this crate |
//! | `readiness_subsystems` | gauge | `state` | the number of all subsystems in a [state](crate::State) |
//! | `readiness_group_members` | gauge | `group`, `state` | the number of members of a [group](crate::Group) in a state |
//! | `readiness_subsystem_state` | gauge | `subsystem`, `state` | 1 for the present state of a subsystem |
//! | `readiness_subsystem_transitions_total` | counter | `subsystem`, `to` | how often a subsystem has entered a state |
//! | `readiness_subsystem_last_report_timestamp_seconds` | gauge | `subsystem` | when its reporter or check reported last, since 1970; 0 before the first report; heartbeats do not count |
//! | `readiness_subsystem_startup_duration_seconds` | gauge | `subsystem` | how long it took until it was up for the first time, or has taken so far: what holds up the start |
//! | `readiness_check_duration_seconds` | histogram | `subsystem` | how long the runs of its check took (feature `check`) |
//! | `readiness_requests_total` | counter | `scope`, `outcome`, `reason` | requests that gates did not admit at once: `refused`, `shed` or `held`, and the same after `dry_run_` where a [dry run](crate::Readiness::dry_run_refused) admitted them |
//! | `readiness_requests_in_flight` | gauge | | requests and other work in flight, once a layer [counts](crate::Readiness::in_flight) |
//! | `readiness_hold_duration_seconds` | histogram | | how long requests were held or waited for room, with any outcome |
//! | `readiness_drift_requests_total` | counter | `scope`, `outcome` | requests that were admitted while ready and were `answered` or have `failed`, where a layer [observes](crate::Readiness::drift) |
//! | `readiness_drift_refusing_seconds_total` | counter | `scope` | how long gates refused although the checks of their subsystems passed |
//! | `readiness_probes_total` | counter | `probe`, `status` | answers to probes, by [probe](crate::wire::Probe) and status of HTTP |
//!
//! The scope of the process is named `readiness`. Scopes overlap, so their requests are
//! not to be added up. [`Readiness::refused`](crate::Readiness::refused) is `refused`
//! and `shed` together. A held request is counted again if it is refused.
//!
//! Histograms have no bucket but `+Inf`, so they give a count and a sum. A metric that
//! the process does not measure has no samples.
//!
//! The first 200 subsystems by declaration have metrics of their own, and
//! [`metrics_for`](crate::Builder::metrics_for) sets another number;
//! `readiness_subsystems` counts all of them.
//!
//! # OpenTelemetry
//!
//! Each metric becomes an observable instrument, and a histogram two: its count and its
//! sum. The view lifts the limit of the SDK, which adds up all series of an instrument
//! beyond 2,000.
//!
//! ```ignore
//! let provider = SdkMeterProvider::builder()
//!     .with_reader(reader)
//!     .with_view(view)
//!     .build();
//! observe(&readiness, &provider.meter("tower-readiness"));
//! ```
//!
//! ```ignore
#![doc = include_str!("metrics/opentelemetry.rs")]
//! ```
//!
//! # The `metrics` facade
//!
//! The facade has no callbacks, so a loop pushes the values. A recorder keeps the last
//! value of a subsystem that has [retired](crate::Reporter::retire); set an idle timeout
//! where subsystems come and go.
//!
//! ```ignore
//! let mut every = tokio::time::interval(Duration::from_secs(5));
//! loop {
//!     every.tick().await;
//!     push(&readiness);
//! }
//! ```
//!
//! ```ignore
#![doc = include_str!("metrics/facade.rs")]
//! ```
