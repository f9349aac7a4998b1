//! The steps that fleets go through under load: the same steps, at the same time, for
//! all arms of a scenario.

use crate::{BoxError, fleet::Fleet, fleet::SLOTS};
use fastrand::Rng;
use futures_util::future::try_join_all;
use std::{collections::VecDeque, sync::Mutex, time::Duration};
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// Restarts one replica after the other, `lanes` of them at a time.
    RollingRestart { drains: u32, lanes: usize },
    /// From one replica to four and back.
    Scale { rounds: u32 },
    /// Starts replicas of a new version in spare slots, then stops the old.
    Rollout { versions: u32, lanes: usize },
    /// The storage of every replica goes away for half a second.
    Blip { times: u32 },
    /// The database of all replicas goes away.
    DatabaseOutage { lasting: Duration },
    /// SIGKILL, and another one in its place.
    Kill { times: u32 },
}

/// The times of the steps, from the start of the load.
pub(crate) struct Log {
    start: Instant,
    events: Mutex<Vec<Duration>>,
}

impl Log {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            events: Mutex::default(),
        }
    }

    fn event(&self) {
        if let Ok(mut events) = self.events.lock() {
            events.push(self.start.elapsed());
        }
    }

    pub(crate) fn into_events(self) -> Vec<Duration> {
        self.events.into_inner().unwrap_or_default()
    }
}

impl Script {
    /// How many replicas there are at first.
    pub(crate) fn replicas(self) -> usize {
        match self {
            Self::Scale { .. } => 1,
            Self::Rollout { .. } => SLOTS / 2,
            _ => SLOTS,
        }
    }

    pub(crate) async fn perform(
        self,
        fleets: &[Fleet],
        log: &Log,
        interval: Duration,
        seed: u64,
    ) -> Result<(), BoxError> {
        let stage = Stage {
            fleets,
            log,
            interval,
        };
        let mut rng = Rng::with_seed(seed);
        match self {
            Self::RollingRestart { drains, lanes } => {
                let restarts = drains.div_ceil(lanes as u32);
                let lanes = (0..lanes)
                    .map(|lane| stage.restart((lane..SLOTS).step_by(lanes), restarts, rng.fork()));
                try_join_all(lanes).await?;
            }
            Self::Scale { rounds } => stage.scale(rounds, rng).await?,
            Self::Rollout { versions, lanes } => {
                let lanes = (0..lanes)
                    .map(|lane| stage.roll_out((lane..SLOTS).step_by(lanes), versions, rng.fork()));
                try_join_all(lanes).await?;
            }
            Self::Blip { times } => {
                for _ in 0..times {
                    stage.blip(&mut rng).await?;
                }
            }
            Self::DatabaseOutage { lasting } => {
                stage.control_all("/control/database/down").await?;
                sleep(lasting).await;
                stage.control_all("/control/database/up").await?;
                sleep(Duration::from_secs(2)).await;
            }
            Self::Kill { times } => stage.kill(times, rng).await?,
        }
        Ok(())
    }
}

struct Stage<'a> {
    fleets: &'a [Fleet],
    log: &'a Log,
    /// Between two checks of the balancer.
    interval: Duration,
}

impl Stage<'_> {
    /// Waits until a random moment between two checks of the balancer.
    async fn phase(&self, rng: &mut Rng) {
        // At least a second, so that the lanes do not move together.
        let interval = self.interval.max(Duration::from_secs(1));
        sleep(interval.mul_f64(rng.f64())).await;
    }

    /// Runs a step for all arms at once, and waits for the slowest.
    async fn each(
        &self,
        act: impl AsyncFn(&Fleet) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let acts = self.fleets.iter().map(|fleet| act(fleet));
        try_join_all(acts).await.map(|_| ())
    }

    async fn restart(
        &self,
        slots: impl Iterator<Item = usize>,
        restarts: u32,
        mut rng: Rng,
    ) -> Result<(), BoxError> {
        let slots: Vec<_> = slots.collect();
        for _ in 0..restarts {
            let slot = slots[rng.usize(..slots.len())];
            self.phase(&mut rng).await;
            self.log.event();
            self.each(async |fleet| fleet.restart(slot, 1).await)
                .await?;
        }
        Ok(())
    }

    async fn scale(&self, rounds: u32, mut rng: Rng) -> Result<(), BoxError> {
        let mut kept = 0;
        for _ in 0..rounds {
            let others: Vec<_> = (0..4).filter(|slot| *slot != kept).collect();
            try_join_all(others.into_iter().map(|slot| {
                let mut rng = rng.fork();
                async move {
                    self.phase(&mut rng).await;
                    self.each(async |fleet| fleet.launch(slot, 1).await).await
                }
            }))
            .await?;
            kept = rng.usize(..4);
            let others: Vec<_> = (0..4).filter(|slot| *slot != kept).collect();
            try_join_all(others.into_iter().map(|slot| {
                let mut rng = rng.fork();
                async move {
                    self.phase(&mut rng).await;
                    self.log.event();
                    self.each(async |fleet| fleet.drain(slot).await).await
                }
            }))
            .await?;
        }
        Ok(())
    }

    async fn roll_out(
        &self,
        slots: impl Iterator<Item = usize>,
        versions: u32,
        mut rng: Rng,
    ) -> Result<(), BoxError> {
        let (mut serving, mut spare): (VecDeque<_>, VecDeque<_>) =
            slots.partition(|slot| *slot < SLOTS / 2);
        for version in 2..2 + versions {
            for _ in 0..serving.len() {
                let (Some(old), Some(new)) = (serving.pop_front(), spare.pop_front()) else {
                    return Err("no spare slot".into());
                };
                self.phase(&mut rng).await;
                self.log.event();
                self.each(async |fleet| {
                    fleet.launch(new, version).await?;
                    fleet.drain(old).await
                })
                .await?;
                serving.push_back(new);
                spare.push_back(old);
            }
        }
        Ok(())
    }

    async fn blip(&self, rng: &mut Rng) -> Result<(), BoxError> {
        self.log.event();
        try_join_all((0..SLOTS).map(|slot| {
            let after = Duration::from_millis(rng.u64(..300));
            async move {
                sleep(after).await;
                self.each(async |fleet| fleet.control(slot, "/control/blip?ms=500").await)
                    .await
            }
        }))
        .await?;
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    async fn control_all(&self, path: &str) -> Result<(), BoxError> {
        self.log.event();
        self.each(async |fleet| {
            let slots = (0..SLOTS).map(|slot| fleet.control(slot, path));
            try_join_all(slots).await.map(|_| ())
        })
        .await
    }

    async fn kill(&self, times: u32, mut rng: Rng) -> Result<(), BoxError> {
        for _ in 0..times {
            let slot = rng.usize(..SLOTS);
            self.phase(&mut rng).await;
            self.log.event();
            self.each(async |fleet| {
                fleet.kill(slot).await?;
                fleet.launch(slot, 1).await
            })
            .await?;
        }
        Ok(())
    }
}
