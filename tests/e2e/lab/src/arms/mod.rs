//! One replica of the demo service, in one of five ways to go about its
//! readiness and its end.

mod by_hand;
mod liveness_only;
mod probes_only;
mod served;
mod tower_readiness;

use crate::{BoxError, service, streams, subsystems::Subsystems};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr, process, time::Duration};
use tokio::net::TcpListener;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    LivenessOnly,
    ProbesOnly,
    ByHand,
    TowerReadiness,
    /// The same, served by `drain::serve`.
    Served,
}

/// A protection of tower-readiness, which a control switches off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protection {
    Delay,
    ConnectionClose,
    StartupGating,
    Hold,
    /// A moment of its own for each connection.
    Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arm {
    pub(crate) kind: Kind,
    pub(crate) without: Option<Protection>,
}

impl Arm {
    pub(crate) const OURS: Self = Self::plain(Kind::TowerReadiness);

    pub(crate) const ALL: [Self; 4] = [
        Self::plain(Kind::LivenessOnly),
        Self::plain(Kind::ProbesOnly),
        Self::plain(Kind::ByHand),
        Self::OURS,
    ];

    pub(crate) const fn plain(kind: Kind) -> Self {
        Self {
            kind,
            without: None,
        }
    }

    /// tower-readiness with one of its protections off.
    pub(crate) const fn without(protection: Protection) -> Self {
        Self {
            kind: Kind::TowerReadiness,
            without: Some(protection),
        }
    }

    /// tower-readiness whose connections retire during the drain.
    pub(crate) const SERVED: Self = Self::plain(Kind::Served);
    /// The same, but the connections end at the end of the drain.
    pub(crate) const SERVED_TO_THE_END: Self = Self {
        kind: Kind::Served,
        without: Some(Protection::Window),
    };

    /// The probe of the balancer.
    pub(crate) fn probe(self) -> &'static str {
        match self.kind {
            Kind::LivenessOnly => "/health",
            Kind::ProbesOnly | Kind::ByHand => "/ready",
            Kind::TowerReadiness | Kind::Served => "/readyz",
        }
    }

    fn has(self, protection: Protection) -> bool {
        self.without != Some(protection)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::LivenessOnly => "liveness only",
            Kind::ProbesOnly => "probes only",
            Kind::ByHand => "good practice by hand",
            Kind::TowerReadiness => "tower-readiness",
            Kind::Served => "tower-readiness, `drain::serve`",
        })?;
        match self.without {
            None => Ok(()),
            Some(Protection::Delay) => f.write_str(" without the delay"),
            Some(Protection::ConnectionClose) => f.write_str(" without `connection: close`"),
            Some(Protection::StartupGating) => f.write_str(" without startup gating"),
            Some(Protection::Hold) => f.write_str(" without hold"),
            Some(Protection::Window) => f.write_str(" without a window"),
        }
    }
}

/// The configuration of a replica, as JSON on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) arm: Arm,
    pub(crate) port: u16,
    pub(crate) slot: usize,
    pub(crate) version: u32,
    /// From SIGTERM until the replica stops to accept, for arms that wait.
    pub(crate) drain_delay: Duration,
    /// Of [`Kind::Served`]: how long open requests and streams may take after the delay.
    pub(crate) closing_cap: Option<Duration>,
    /// Of [`Kind::Served`]: the maximum age of its connections.
    pub(crate) max_age: Option<Duration>,
}

/// Serves as one replica until SIGTERM.
pub(crate) async fn serve(config: Config) -> Result<(), BoxError> {
    let Config {
        arm,
        slot,
        version,
        closing_cap,
        max_age,
        ..
    } = config;
    let delay = if arm.has(Protection::Delay) {
        config.drain_delay
    } else {
        Duration::ZERO
    };
    // There is one, for as long as the process lives.
    let subsystems: &'static Subsystems = Box::leak(Box::new(Subsystems::new()));
    let name = format!("s{slot} v{version} pid {}", process::id());
    let app = service::router(subsystems, &name);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
    tokio::spawn(subsystems.come_up());
    match arm.kind {
        Kind::LivenessOnly => liveness_only::serve(listener, app).await,
        Kind::ProbesOnly => probes_only::serve(listener, app, subsystems).await,
        Kind::ByHand => by_hand::serve(listener, app, subsystems, delay).await,
        Kind::TowerReadiness => tower_readiness::serve(listener, app, subsystems, delay, arm).await,
        Kind::Served => {
            let app = app.merge(streams::router(&name));
            let limits = served::Limits {
                delay,
                closing_cap,
                max_age,
            };
            served::serve(listener, app, subsystems, limits, arm).await
        }
    }
}
