//! The probe routes: `/livez`, `/readyz`, `/startupz`, `/healthz`, `/statusz`.
//!
//! A [`ReadinessLayer`](crate::ReadinessLayer) answers them in front of any
//! service. [`Probes`] is also a service of its own, to be served on a port
//! that only operators and supervisors reach (feature `server` has a server
//! for it):
//!
//! ```
//! use tower::ServiceExt;
//! use tower_readiness::{
//!     Readiness, Subsystem,
//!     probe::{Detail, Probes},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! let probes = Probes::new(&readiness).detail(Detail::Full);
//!
//! let request = http::Request::get("/readyz").body(String::new())?;
//! let response = probes.oneshot(request).await?;
//! assert_eq!(response.status(), 503);
//! # Ok(())
//! # }
//! ```
//!
//! # What is asked
//!
//! Paths match exactly, but for one trailing slash; the query string and the
//! form of the URI do not matter. `GET` and `HEAD` are answered, anything else
//! is 405. Green is 200, red is 503; never a redirect. The body is text, or
//! JSON for a client that asks for it by `accept: application/json`.
//!
//! With [`Detail::Names`] or [`Detail::Full`] there are also:
//!
//! | | |
//! |---|---|
//! | `/readyz/NAME` | the readiness of one scope or subsystem; 404 if there is none |
//! | `?verbose` | a line for each subsystem, `[+]` for up and `[-]` for down; `=1`, `=true`, `=yes` and `=on` are the same, `=0`, `=false`, `=no` and `=off` turn it off again, and any other value is reported in the body and changes nothing |
//! | `?exclude=NAME` | the answer as if this subsystem were not there; repeatable; never changes what a gate does |
//! | `?wait=SECONDS` | waits up to 60 seconds for green, and answers as soon as it is; 256 may wait at a time (on an admin listener half of its connections), and the rest is answered at once, as are all with [`without_wait`](Probes::without_wait) |
//! | `/statusz` | also what was [refused](crate::Readiness::refused) by all gates and [by those of each scope](crate::Scope::refused), what a [dry run](crate::ReadinessLayer::dry_run) would have refused, and [drift](crate::Readiness::drift) |
//! | `/statusz` as JSON | also what is [in flight](crate::Readiness::in_flight) and [late arrivals](crate::Readiness::late_arrivals) |
//!
//! An answer that lists subsystems and is 16 KiB or longer is rendered once for
//! each version of the snapshot and each second, and shared by all who ask for
//! it: its ages, counts and drift may be a second old, its states and its
//! verdict never are. Answers of this kind that clients have not read yet hold
//! 32 MiB at most; until some are read, further ones give the verdict alone, as
//! with [`Detail::None`].
//!
//! Name the method where a tool has its own mind about it: HAProxy's is
//! `option httpchk GET /readyz`.
//!
//! # Where it is safe to ask
//!
//! [`Detail::None`] tells a stranger no more than a refused request would, so
//! it is the default. Reasons hold what errors say: hosts, paths, now and then
//! a secret. Serve [`Detail::Full`] only where operators alone can reach it.

mod accept;
mod answered;
mod envoy;
mod json;
mod long_answers;
mod probes;
mod query;
mod question;
mod route;
mod service;
mod text;

pub(crate) use self::envoy::fail_health_check;
#[cfg(all(feature = "server", unix))]
pub(crate) use self::probes::line;
pub(crate) use self::probes::{Answer, ProbeResponse, without_body};
pub use self::{
    answered::ProbeAnswer,
    probes::Probes,
    question::Detail,
    route::{PathError, Probe},
    service::ProbeFuture,
};
