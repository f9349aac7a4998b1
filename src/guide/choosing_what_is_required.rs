//! Which subsystems close the gate when they fail, and which do not.
//!
//! For each subsystem, ask: *if it is down here, is another replica better
//! off?*
//!
//! | if it is down | another replica is | declare it | then |
//! |---|---|---|---|
//! | the policy has not been synced, the local store is being opened, the port is not bound | better off | [required](crate::Subsystem::new) | the gate is closed, load balancers go elsewhere |
//! | the event loop hangs, a mutex is poisoned, the only worker thread died | better off, and this one will not recover | [vital](crate::Subsystem::vital) | liveness is red as well once it is dead, and it is restarted |
//! | the central database, the identity provider | just as badly off | [shared](crate::Subsystem::shared) | the process waits for it once; later its failure degrades, and the process answers the requests that it can |
//! | a cache, a recommender, the audit log | indifferent | [optional](crate::Subsystem::optional) | it degrades |
//! | the last backup, the age of a certificate, the leader of a group | indifferent, and requests are answered as well as ever | [informative](crate::Subsystem::informative) | it shows, and no verdict changes |
//!
//! ```
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("policy"))
//!     .subsystem(Subsystem::new("worker").vital())
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("index").optional())
//!     // Search needs the index; the process does not.
//!     .scope("search", ["index"])
//!     .build()?;
//! let everything = ReadinessLayer::new(&readiness);
//! let search_only = ReadinessLayer::gate(readiness.scope("search")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of many like subsystems (the upstreams of a proxy, the partitions of a worker) a part is
//! enough. Declare one [group](crate::Group) for them, and add its members at run time. It
//! is shared by default, since all replicas have the same upstreams, and a scope may name it:
//!
//! ```
//! use tower_readiness::{Group, Readiness, Subsystem};
//!
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .group(Group::new("upstream").degraded_below(0.9).failing_below(0.1))
//!     .scope("proxy", ["upstream"])
//!     .build()?;
//! let upstream = readiness.group("upstream")?.add("10.0.0.1:8080")?;
//! upstream.ready();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why a shared dependency must not be required
//!
//! When the database is gone, it is gone for all replicas. If it were required, all
//! of them would turn red within a second, and then
//!
//! - a load balancer without a green server answers 503 to every request, also to
//!   requests that need no database: the outage of a part becomes an outage of the
//!   whole;
//! - load balancers that fail open (ALB, NLB, Envoy's panic threshold) send the
//!   traffic anyway, and find every gate closed;
//! - when the database is back, all replicas turn green at once, and the traffic of
//!   all users reaches it in the same second.
//!
//! A process with a shared subsystem is not ready until that subsystem was ready
//! *once* (a replica with the wrong password must not get traffic). From then on
//! its outage shows as degraded. Handlers that need it answer with an error of
//! their own, or a [scope](crate::Builder::scope) refuses their requests first.
//!
//! # Why a database must not be vital
//!
//! A restart does not repair a database. The fleet would restart in step, lose its
//! caches and come back to the same outage. Declare a subsystem vital only if a new
//! process repairs it.
//!
//! # When to admit while failing
//!
//! The gate refuses while a required subsystem is failing, because the process
//! reported that it *cannot* serve. That is the right default where another replica
//! can serve, and where a wrong answer is worse than none (authorization). Choose
//! otherwise for a layer if
//!
//! - **some requests would still succeed**:
//!   [`when_failing(Action::Admit)`](crate::ReadinessLayer::when_failing). Probes stay
//!   red, so load balancers go elsewhere while there is an elsewhere.
//! - **the failure is short**: `when_failing(Action::hold(..)?)`. A local store that
//!   reconnects for half a second then delays requests by half a second and fails
//!   none. Choose the probes' interval × failures longer than that, or the load
//!   balancer reacts to a failure that the hold hides.
//! - **there is only one replica**: no other replica can serve a refused request.
//!   Hold or admit.
//! - **you are not sure yet**: [`dry_run`](crate::ReadinessLayer::dry_run) counts
//!   the requests that the gate would refuse.
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Action, Readiness, ReadinessLayer, Subsystem};
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let patient = ReadinessLayer::new(&readiness)
//!     .when_starting(Action::hold(Duration::from_secs(5))?)
//!     .when_failing(Action::hold(Duration::from_secs(1))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which task reports
//!
//! The task that notices a failure first reports it. Move the reporter into the
//! task that owns the subsystem, so that the end of the task (a panic, an early
//! return by `?`) is a report too. A subsystem without a reporter or a check is
//! never ready.
