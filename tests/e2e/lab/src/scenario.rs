//! One experiment: fleets of several arms side by side, with the same load and the same
//! script for each.

use crate::{
    BoxError,
    arms::Arm,
    client::Client,
    delayed::Delayed,
    fleet::{Fleet, Settings},
    load::Load,
    pinned,
    script::{Log, Script},
    tally::{Quantiles, Tally},
};
use futures_util::future::{join_all, try_join_all};
use std::time::Duration;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// The expected result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    NoLoss,
    Loss,
    /// Any number of failures.
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Over HTTP/1 and HTTP/2, balanced by request; slow requests take as long
    /// as this.
    Mixed {
        slow: Duration,
        database_percent: u32,
    },
    /// Clients that keep one connection each, balanced by connection, over a
    /// network that takes this long each way.
    Pinned { delay: Duration },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The name, by which the command line picks the scenario.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) arms: Vec<(Arm, Expected)>,
    pub(crate) settings: Settings,
    pub(crate) traffic: Traffic,
    /// Requests per second and arm.
    pub(crate) rate: u32,
    pub(crate) script: Script,
}

/// The result of one arm.
pub(crate) struct Finding {
    pub(crate) arm: Arm,
    pub(crate) expected: Expected,
    pub(crate) drains: u32,
    /// How long it took the balancer to notice the drains.
    pub(crate) noticed: Quantiles,
    pub(crate) tally: Tally,
}

pub(crate) struct Findings {
    pub(crate) scenario: Scenario,
    pub(crate) arms: Vec<Finding>,
    /// When the script acted, from the start of the load.
    pub(crate) events: Vec<Duration>,
}

impl Scenario {
    const WARM_UP: Duration = Duration::from_secs(2);
    const TAIL: Duration = Duration::from_secs(2);

    pub(crate) async fn run(self, seed: u64) -> Result<Findings, BoxError> {
        let fleets = self
            .arms
            .iter()
            .map(|(arm, _)| Fleet::start(*arm, self.settings));
        let fleets = try_join_all(fleets).await?;

        let (stop, stopped) = watch::channel(false);
        let start = Instant::now() + Duration::from_millis(200);
        let log = Log::new(start);
        // Ends when it is dropped.
        let mut load = JoinSet::new();
        for (number, fleet) in fleets.iter().enumerate() {
            let running = self.load(fleet, seed, start, stopped.clone()).await?;
            load.spawn(async move { Ok::<_, BoxError>((number, running.await?)) });
        }

        sleep(Self::WARM_UP).await;
        let interval = self.settings.checks.interval();
        self.script.perform(&fleets, &log, interval, seed).await?;
        sleep(Self::TAIL).await;
        stop.send(true)?;

        let mut tallies: Vec<_> = fleets.iter().map(|_| Tally::default()).collect();
        while let Some(joined) = load.join_next().await {
            let (number, tally) = joined??;
            tallies[number] = tally;
        }
        let mut arms = Vec::new();
        for ((&(arm, expected), fleet), tally) in self.arms.iter().zip(&fleets).zip(tallies) {
            arms.push(Finding {
                arm,
                expected,
                drains: fleet.drains(),
                noticed: fleet.noticed().await,
                tally,
            });
        }
        join_all(fleets.into_iter().map(Fleet::stop)).await;
        Ok(Findings {
            scenario: self,
            arms,
            events: log.into_events(),
        })
    }

    async fn load(
        &self,
        fleet: &Fleet,
        seed: u64,
        start: Instant,
        stop: watch::Receiver<bool>,
    ) -> Result<impl Future<Output = Result<Tally, BoxError>> + use<>, BoxError> {
        let balancer = &fleet.balancer;
        let (slow, database_percent, delay) = match self.traffic {
            Traffic::Mixed {
                slow,
                database_percent,
            } => (slow, database_percent, None),
            Traffic::Pinned { delay } => (Duration::ZERO, 0, Some(delay)),
        };
        let load = Load {
            rate: self.rate,
            seed,
            slow,
            database_percent,
        };
        let network = match delay {
            Some(delay) => {
                let tcp = balancer.tcp();
                Some(Delayed::start(move || Some((tcp, ())), delay).await?)
            }
            None => None,
        };
        let client = Client::new(balancer.http1(), balancer.http2());
        Ok(async move {
            match network {
                Some(network) => pinned::run(load, network.address, start, stop).await,
                None => load.run(client, start, stop).await,
            }
        })
    }
}
