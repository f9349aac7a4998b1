//! The replicas of one arm and the balancer in front of them.

use crate::{
    BoxError,
    arms::{Arm, Config},
    balancer::{self, Balancer, Checks, Retries},
    ports,
    replica::Replica,
    tally::Quantiles,
};
use futures_util::future::{join_all, try_join_all};
use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

pub(crate) const SLOTS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) checks: Checks,
    pub(crate) retries: Retries,
    pub(crate) drain_delay: Duration,
    /// How many replicas there are at first.
    pub(crate) replicas: usize,
}

pub(crate) struct Fleet {
    pub(crate) arm: Arm,
    pub(crate) balancer: Balancer,
    settings: Settings,
    ports: [u16; SLOTS],
    slots: [Mutex<Option<Replica>>; SLOTS],
    drains: AtomicU32,
    noticed: Mutex<Quantiles>,
}

impl Fleet {
    /// Returns once all replicas are up and the balancer holds them for up.
    pub(crate) async fn start(arm: Arm, settings: Settings) -> Result<Self, BoxError> {
        let mut ports = [0; SLOTS];
        let mut frontends = [0; 3];
        for port in ports.iter_mut().chain(&mut frontends) {
            *port = ports::free()?;
        }
        let mut slots = [const { Mutex::const_new(None) }; SLOTS];
        let starting = (0..settings.replicas).map(async |slot| {
            let mut replica = Replica::spawn(Config {
                arm,
                port: ports[slot],
                slot,
                version: 1,
                drain_delay: settings.drain_delay,
                closing_cap: None,
                max_age: None,
            })?;
            replica.ready().await?;
            // A probe may be green before the startup is over.
            sleep(Self::STARTUP).await;
            Ok::<_, BoxError>(replica)
        });
        let replicas = try_join_all(starting).await?;
        for (slot, replica) in slots.iter_mut().zip(replicas) {
            *slot.get_mut() = Some(replica);
        }
        let balancer = Balancer::start(&balancer::Settings {
            checks: settings.checks,
            retries: settings.retries,
            probe: arm.probe(),
            servers: &ports,
            ports: frontends,
        })
        .await?;
        balancer.settled(settings.replicas).await?;
        Ok(Self {
            arm,
            balancer,
            settings,
            ports,
            slots,
            drains: AtomicU32::new(0),
            noticed: Mutex::default(),
        })
    }

    /// How long a replica takes to have everything up.
    const STARTUP: Duration = Duration::from_secs(3);

    /// How many replicas have got SIGTERM so far.
    pub(crate) fn drains(&self) -> u32 {
        self.drains.load(Ordering::Relaxed)
    }

    /// Starts a replica and waits until a rollout would go on to the next one:
    /// until its probe is green and the balancer has had the time to notice.
    pub(crate) async fn launch(&self, slot: usize, version: u32) -> Result<(), BoxError> {
        let mut replica = Replica::spawn(Config {
            arm: self.arm,
            port: self.ports[slot],
            slot,
            version,
            drain_delay: self.settings.drain_delay,
            closing_cap: None,
            max_age: None,
        })?;
        replica.ready().await?;
        *self.slots[slot].lock().await = Some(replica);
        sleep(self.settings.checks.detection()).await;
        Ok(())
    }

    /// SIGTERM; returns once the replica has ended.
    pub(crate) async fn drain(&self, slot: usize) -> Result<(), BoxError> {
        let replica = self.take(slot).await?;
        self.drains.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            biased;
            stopped = replica.stop() => stopped,
            never = self.notice(slot) => match never {},
        }
    }

    /// Measures how long it takes the balancer to hold a server for down.
    async fn notice(&self, slot: usize) -> Infallible {
        let start = Instant::now();
        loop {
            sleep(Duration::from_millis(100)).await;
            if let Ok(servers) = self.balancer.servers().await
                && servers
                    .get(slot)
                    .is_some_and(|state| state.starts_with("DOWN"))
            {
                self.noticed.lock().await.add(start.elapsed());
                return pending().await;
            }
        }
    }

    /// How long it took the balancer to notice the drains that it noticed before the
    /// replica had ended.
    pub(crate) async fn noticed(&self) -> Quantiles {
        std::mem::take(&mut *self.noticed.lock().await)
    }

    pub(crate) async fn restart(&self, slot: usize, version: u32) -> Result<(), BoxError> {
        self.drain(slot).await?;
        self.launch(slot, version).await
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self, slot: usize) -> Result<(), BoxError> {
        self.take(slot).await?.kill().await
    }

    /// Posts to the replica directly, without the balancer.
    pub(crate) async fn control(&self, slot: usize, path: &str) -> Result<(), BoxError> {
        match &*self.slots[slot].lock().await {
            Some(replica) => replica.control(path).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        let replicas = self.slots.into_iter().filter_map(Mutex::into_inner);
        join_all(replicas.map(Replica::kill)).await;
        self.balancer.stop().await
    }

    async fn take(&self, slot: usize) -> Result<Replica, BoxError> {
        let replica = self.slots[slot].lock().await.take();
        replica.ok_or_else(|| format!("nothing runs in slot {slot}").into())
    }
}
