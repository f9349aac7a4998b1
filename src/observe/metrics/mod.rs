//! Metrics: one list of families, for Prometheus and every other library of metrics.
//!
//! [`Readiness::families`](crate::Readiness::families) returns every metric with its
//! name, kind, unit, help, labels and samples. The values are read at the call, from
//! the newest snapshot and from counters that exist anyway, so requests pay nothing
//! for metrics.
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! for family in readiness.families() {
//!     println!("{}: {}", family.name(), family.help());
//!     for sample in family.samples() {
//!         let labels: Vec<_> = sample.labels().collect();
//!         println!("  {labels:?} {:?}", sample.value());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Readiness::register_metrics`](crate::Readiness::register_metrics) adds the
//! families to an application's registry of the crate `prometheus-client`.
//!
//! The [guide](crate::guide::metrics) lists the names, and has recipes for
//! OpenTelemetry and for the `metrics` facade.
//!
//! # Bounded
//!
//! The first 200 subsystems by declaration have series of their own
//! ([`Builder::metrics_for`](crate::Builder::metrics_for) sets the number);
//! `readiness_subsystems` counts all of them. Label values are names of declared
//! scopes and subsystems, or words of this crate; the text of a reason never is one.
//!
//! # Cost
//!
//! A reading takes 0.1 ms for 200 subsystems, and `/metrics` half a millisecond. It
//! takes no lock that a report needs, with two exceptions: while a
//! [ttl](crate::Subsystem::ttl) is over, it first publishes that, as any reader does;
//! and where a layer [observes outcomes](crate::Readiness::drift), a report after which
//! a gate begins or ceases to refuse against its checks may wait for the microseconds in
//! which the outcomes are added up.

#[cfg(feature = "server")]
mod endpoint;
mod exposition;
mod family;
mod list;
mod process;
mod subsystems;
mod traffic;

#[cfg(feature = "server")]
pub(crate) use self::endpoint::MetricsEndpoint;
pub use self::family::{Family, MetricKind, Sample, SampleValue};
