//! What the gate should close for, and what it should not.
//!
//! For each subsystem, ask: *if it is down here, is another replica better
//! off?*
//!
//! | if it is down | another replica is | declare it | then |
//! |---|---|---|---|
//! | the policy has not been synced, the local store is being opened, the port is not bound | better off | [required](crate::Subsystem::new) | the gate is closed, load balancers go elsewhere |
//! | the event loop hangs, a mutex is poisoned, the only worker thread died | better off, and this one will not recover | [vital](crate::Subsystem::vital) | liveness is red as well once it is dead, and it is restarted |
//! | the central database, the identity provider | just as badly off | [shared](crate::Subsystem::shared) | waited for once, then it degrades: the process answers what it can |
//! | a cache, a recommender, the audit log | indifferent | [optional](crate::Subsystem::optional) | it degrades |
//!
//! ```
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("policy"))
//!     .subsystem(Subsystem::new("worker").vital())
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("index").optional())
//!     // Searching cannot do without what the process can.
//!     .scope("search", ["index"])
//!     .build()?;
//! let everything = ReadinessLayer::new(&readiness);
//! let search_only = ReadinessLayer::gate(readiness.scope("search")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why a shared dependency must not be required
//!
//! When the database is gone, it is gone for all replicas. Were it required,
//! all of them would turn red within a second, and then
//!
//! - a load balancer without any green server answers 503 to everything, also
//!   to what needs no database, and the outage of a part is an outage of the
//!   whole;
//! - those that fail open in this case (ALB, NLB, Envoy's panic threshold) send
//!   the traffic anyway, and find every gate closed;
//! - when the database is back, all replicas turn green at once and meet it
//!   with the traffic of all users.
//!
//! Shared means: the process is not ready until the database was there *once*
//! (a replica with the wrong password must not get traffic), and from then on
//! its outage shows as degraded. Handlers that need it answer with an error of
//! their own; a [scope](crate::Builder::scope) refuses them before they try.
//!
//! # Why a database must not be vital
//!
//! Nothing gets better by a restart. The fleet would restart in step, throw its
//! caches away and come back to the same database. Only a subsystem whose cure
//! is a new process is vital.
//!
//! # When to admit while failing
//!
//! The gate refuses while a required subsystem is failing, because the process
//! said that it *cannot* serve. That is the right default where another replica
//! can, and where a wrong answer is worse than none (authorization). Choose
//! otherwise for a layer if
//!
//! - **some requests would still succeed**:
//!   [`failing(Action::Admit)`](crate::ReadinessLayer::failing). Probes stay
//!   red, so load balancers go elsewhere while there is an elsewhere.
//! - **it is over in a moment**: `failing(Action::hold(..)?)`. A local store that
//!   reconnects for half a second then costs half a second instead of an error.
//!   Choose the probes' interval × failures longer than that, or the load
//!   balancer reacts to what the hold conceals.
//! - **there is only one replica**: a refusal helps no one. Hold or admit.
//! - **you are not sure yet**: [`dry_run`](crate::ReadinessLayer::dry_run)
//!   counts what would have been refused.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Action, Readiness, ReadinessLayer, Subsystem};
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let patient = ReadinessLayer::new(&readiness)
//!     .starting(Action::hold(Duration::from_secs(5))?)
//!     .failing(Action::hold(Duration::from_secs(1))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who reports
//!
//! The task that would notice. A reporter belongs into the task that owns the
//! subsystem, so that the end of the task (a panic, a forgotten `?`) is a
//! report too. A subsystem that nobody reports for is never ready.
