//! The probe routes: `/livez`, `/readyz`, `/startupz`, `/healthz`, `/statusz`.
//!
//! A [`ReadinessLayer`](crate::ReadinessLayer) answers them in front of any
//! service. [`Probes`] is also a service by itself. Serve it on a port that only
//! operators and supervisors reach (feature `server` has a server for it):
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
//! let probes = Probes::builder(&readiness).detail(Detail::Full).build()?;
//!
//! let request = http::Request::get("/readyz").body(String::new())?;
//! let response = probes.oneshot(request).await?;
//! assert_eq!(response.status(), 503);
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//!
//! Paths match exactly, except for one trailing slash; the query string and the
//! form of the URI do not matter. A probe answers `GET` and `HEAD`, and 405 to
//! any other method. Green is 200, red is 503; a probe never redirects. The body
//! is text, or [JSON](crate::wire#the-json-of-a-probe) for a client that sends
//! `accept: application/json`. On an admin listener with the feature `page`, browsers get
//! `/statusz` as HTML.
//!
//! [`Detail::Names`] and [`Detail::Full`] add:
//!
//! | | |
//! |---|---|
//! | `/readyz/NAME` | the readiness of one scope or subsystem; 404 if there is none |
//! | `?verbose` | a line for each subsystem, `[+]` for up and `[-]` for down; `=1`, `=true`, `=yes` and `=on` are the same, `=0`, `=false`, `=no` and `=off` turn it off, and the body reports any other value, which changes nothing |
//! | `?exclude=NAME` | the answer as if this subsystem did not exist; repeatable; does not affect gates |
//! | `?wait=SECONDS` | holds the answer until the probe is green, with `&until=red` until it is red (or the process drains; `/statusz`, which is always green, answers 400), for 60 seconds at most; 256 requests may wait at a time (on an admin listener half of its connections), and further ones are answered at once, as are all with [`without_wait`](ProbesBuilder::without_wait), outside of a tokio runtime, and on one whose timers are not enabled |
//! | `/statusz` | also the newest transitions of the [history](crate::Readiness::history) (16 in the text, all in JSON, none with `?exclude`), counts of requests [refused](crate::Readiness::refused) by all gates and [by the gates of each scope](crate::Scope::refused), counts of requests that a [dry run](crate::ReadinessLayer::dry_run) would have refused, and [drift](crate::Readiness::drift) |
//! | `/statusz/NAME` | 50 members of the [group](crate::Group) of this name, with their states; `?state=failing` selects those in one state, `?limit` sets their number (200 at most), and `?from` begins the page where the one before ended. With the status probe at `/`, only an admin listener with a page has `/NAME` |
//! | `/statusz` as JSON | also the counts of requests [in flight](crate::Readiness::in_flight) and of [late arrivals](crate::Readiness::late_arrivals) |
//!
//! An answer that lists subsystems and is 16 KiB or longer is rendered once for
//! each version of the snapshot and each second, and shared by all clients that
//! request it: its ages, counts and drift may be a second old, its states and
//! its verdict are always current. Answers of this kind that clients have not
//! read yet take 32 MiB at most; until clients read some, further answers of 16 KiB
//! or more give the verdict alone, as with [`Detail::None`], or with `?exclude` list the
//! excluded subsystems alone.
//!
//! Name the method where the default of a tool is neither `GET` nor `HEAD`: for
//! HAProxy, `option httpchk GET /readyz`.
//!
//! # Which detail is safe where
//!
//! [`Detail::None`] discloses no more than a refused request does, so it is the
//! default. Reasons contain error messages: hosts, paths, sometimes a secret.
//! Serve [`Detail::Full`] only where operators alone can reach it.

mod answer;
#[cfg(feature = "page")]
mod browser;
mod builder;
mod envoy;
mod error;
#[cfg(feature = "events")]
mod events;
mod format;
mod group;
mod history;
mod json;
mod large_answers;
#[cfg(feature = "page")]
mod page;
mod probe_answer;
mod probes;
mod query;
mod question;
mod rendering;
mod route;
mod service;
mod text;
mod unread_answers;

#[cfg(any(
    all(unix, feature = "commands"),
    all(feature = "metrics", feature = "server"),
    feature = "events"
))]
pub(crate) use self::answer::line;
#[cfg(any(feature = "events", all(feature = "metrics", feature = "server")))]
pub(crate) use self::answer::{build_response, method_not_allowed};
pub(crate) use self::envoy::fail_health_check;
#[cfg(feature = "events")]
pub(crate) use self::events::Update;
#[cfg(feature = "page")]
pub(crate) use self::page::Page;
pub use self::{
    builder::ProbesBuilder, error::ProbesError, probe_answer::ProbeAnswer, probes::Probes,
    question::Detail, service::ProbeFuture,
};
#[cfg(all(feature = "metrics", feature = "server"))]
pub(crate) use self::{
    format::prefers, large_answers::LARGE_UPDATE, unread_answers::UnreadAnswers,
};
pub use crate::wire::Probe;
