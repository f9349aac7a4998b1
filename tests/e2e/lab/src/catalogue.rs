//! The scenarios.

use crate::{
    arms::{Arm, Kind, Protection},
    balancer::{Checks, Retries},
    fleet::Settings,
    scenario::{Expected, Scenario, Traffic},
    script::Script,
};
use std::time::Duration;

/// The scenarios whose sum is the headline.
pub(crate) const HEADLINE: [&str; 4] = [
    "rolling-restart",
    "rolling-restart-long",
    "scaling",
    "new-version",
];
/// The scenario whose success over time is drawn.
pub(crate) const PICTURED: &str = "rolling-restart";

const ROLLING: &str = "All replicas are restarted, up to four of eight at a time, each at a \
random moment between two checks.";
const ROLLING_LONG: &str = "The same for longer, with the two arms that wait before they stop.";
const SCALING: &str = "From one replica to four and back, again and again.";
const NEW_VERSION: &str = "Replicas of a new version come up in spare slots; then the old ones \
are stopped.";
const BLIP: &str = "The local storage of every replica goes away for 500 ms.";
const DATABASE: &str = "The database that all replicas share goes away. Requests that need it \
are counted apart; the rest does not need it.";
const KILL: &str = "Replicas are killed (SIGKILL) and started again. The process \
cannot save the requests that it served; the table counts them.";
const PINNED: &str = "A balancer of connections, not requests (TCP mode), over a network that \
takes 20 ms each way; 400 clients that each keep their connection. Rolling restart.";
const CONTROL: &str =
    "Negative control: one protection is off, and the loss that it prevents happens.";

/// The large ones.
pub(crate) fn full() -> Vec<Scenario> {
    let rolling = |drains| Script::RollingRestart { drains, lanes: 4 };
    let scale = |rounds| Script::Scale { rounds };
    let rollout = |versions| Script::Rollout { versions, lanes: 4 };
    let kill = Script::Kill { times: 8 };
    let blip = Script::Blip { times: 10 };
    let all = |name, about, script| tuned(name, about, side_by_side(), script, 1_000);
    vec![
        all("rolling-restart", ROLLING, rolling(72)),
        tuned(
            "rolling-restart-long",
            ROLLING_LONG,
            careful(),
            rolling(200),
            1_000,
        ),
        all("scaling", SCALING, scale(8)),
        all("new-version", NEW_VERSION, rollout(6)),
        all("rolling-restart-retries", ROLLING, rolling(40)).with_retries(),
        all("scaling-retries", SCALING, scale(4)).with_retries(),
        all("new-version-retries", NEW_VERSION, rollout(3)).with_retries(),
        all("rolling-restart-default-checks", ROLLING, rolling(24)).with_default_checks(),
        all("keep-alive-over-tcp", PINNED, rolling(32)).pinned(),
        all("storage-blip", BLIP, blip),
        all("storage-blip-retries", BLIP, blip).with_retries(),
        all(
            "database-outage",
            DATABASE,
            Script::DatabaseOutage {
                lasting: Duration::from_secs(15),
            },
        )
        .needing_database(),
        all("kill", KILL, kill).expecting_anything(),
        all("kill-retries", KILL, kill)
            .expecting_anything()
            .with_retries(),
        all(
            "slow-balancer",
            "Control: a balancer that checks every 10 s, in front of services \
that wait for 2 s only. Every arm must lose.",
            rolling(8),
        )
        .with_slow_checks(),
        control("control-no-delay", Protection::Delay, rolling(16), 1_000),
        control(
            "control-no-startup-gating",
            Protection::StartupGating,
            rolling(16),
            1_000,
        ),
        control("control-no-hold", Protection::Hold, blip, 1_000),
        control(
            "control-no-connection-close",
            Protection::ConnectionClose,
            rolling(16),
            1_000,
        )
        .pinned(),
    ]
}

/// The small ones, for every day.
pub(crate) fn small() -> Vec<Scenario> {
    let rolling = |drains| Script::RollingRestart { drains, lanes: 4 };
    let blip = Script::Blip { times: 2 };
    let rate = 200;
    vec![
        tuned(
            "rolling-restart",
            ROLLING,
            side_by_side(),
            rolling(12),
            rate,
        ),
        tuned(
            "storage-blip",
            BLIP,
            vec![
                (Arm::OURS, Expected::NoLoss),
                (Arm::without(Protection::Hold), Expected::Loss),
            ],
            blip,
            rate,
        ),
        tuned(
            "controls",
            CONTROL,
            vec![
                (Arm::without(Protection::Delay), Expected::Loss),
                (Arm::without(Protection::StartupGating), Expected::Loss),
            ],
            rolling(4),
            rate,
        ),
        tuned(
            "keep-alive-over-tcp",
            PINNED,
            vec![
                (Arm::OURS, Expected::NoLoss),
                (Arm::without(Protection::ConnectionClose), Expected::Loss),
            ],
            rolling(8),
            400,
        )
        .pinned(),
    ]
}

fn side_by_side() -> Vec<(Arm, Expected)> {
    let expected = |arm: Arm| match arm.kind {
        Kind::TowerReadiness | Kind::Served => Expected::NoLoss,
        Kind::ByHand => Expected::Anything,
        Kind::LivenessOnly | Kind::ProbesOnly => Expected::Loss,
    };
    Arm::ALL.map(|arm| (arm, expected(arm))).to_vec()
}

/// The two that wait before they stop.
fn careful() -> Vec<(Arm, Expected)> {
    side_by_side()
        .into_iter()
        .filter(|(_, expected)| *expected != Expected::Loss)
        .collect()
}

fn tuned(
    name: &'static str,
    about: &'static str,
    arms: Vec<(Arm, Expected)>,
    script: Script,
    rate: u32,
) -> Scenario {
    let drain_delay = Duration::from_secs(2);
    Scenario {
        name,
        about,
        arms,
        settings: Settings {
            checks: Checks::Tuned,
            retries: Retries::Off,
            drain_delay,
            replicas: script.replicas(),
        },
        traffic: mixed(drain_delay),
        rate,
        script,
    }
}

fn control(name: &'static str, protection: Protection, script: Script, rate: u32) -> Scenario {
    let arms = vec![(Arm::without(protection), Expected::Loss)];
    tuned(name, CONTROL, arms, script, rate)
}

/// Slow requests take longer than the drain delay.
fn mixed(drain_delay: Duration) -> Traffic {
    Traffic::Mixed {
        slow: drain_delay + Duration::from_millis(500),
        database_percent: 0,
    }
}

impl Scenario {
    fn with_retries(mut self) -> Self {
        self.settings.retries = Retries::On;
        // The losses of the other arms are known only without retries.
        self.expect(|arm, expected| {
            if arm == Arm::OURS {
                expected
            } else {
                Expected::Anything
            }
        })
    }

    fn with_default_checks(mut self) -> Self {
        let drain_delay = Duration::from_secs(7);
        self.settings.checks = Checks::Defaults;
        self.settings.drain_delay = drain_delay;
        self.traffic = mixed(drain_delay);
        self
    }

    fn with_slow_checks(mut self) -> Self {
        self.settings.checks = Checks::Slow;
        self.expect(|_, _| Expected::Loss)
    }

    fn pinned(mut self) -> Self {
        self.traffic = Traffic::Pinned {
            delay: Duration::from_millis(20),
        };
        self
    }

    fn needing_database(mut self) -> Self {
        self.traffic = match self.traffic {
            Traffic::Mixed { slow, .. } => Traffic::Mixed {
                slow,
                database_percent: 10,
            },
            pinned @ Traffic::Pinned { .. } => pinned,
        };
        self.expect(|arm, expected| match arm.kind {
            Kind::LivenessOnly => Expected::Anything,
            _ => expected,
        })
    }

    fn expecting_anything(self) -> Self {
        self.expect(|_, _| Expected::Anything)
    }

    fn expect(mut self, change: impl Fn(Arm, Expected) -> Expected) -> Self {
        for (arm, expected) in &mut self.arms {
            *expected = change(*arm, *expected);
        }
        self
    }
}
