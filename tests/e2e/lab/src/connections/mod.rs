//! Connections that are kept, through a balancer that passes on bytes, while the
//! replicas at their other ends are replaced one after the other.

mod clients;
mod finding;
mod plan;
mod report;
mod spread;
mod streams;

use crate::{
    BoxError,
    arms::{Arm, Config},
    ports,
    replica::Replica,
};
use clients::{Load, Protocol};
use fastrand::Rng;
use finding::{Drain, Finding};
use futures_util::future::try_join_all;
use plan::{MAX_AGE, Plan};
use spread::Spread;
use std::{collections::VecDeque, fs, path::PathBuf, process::ExitCode, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

const USAGE: &str = "\
Usage: rollout connections [--full] [--seed N] [--output DIRECTORY]

Replaces replicas 5 times, or with --full 20 times. The report is written to the
DIRECTORY, if there is one; with --full that is tests/e2e/results.";

/// How many replicas serve at a time.
const REPLICAS: usize = 2;
/// Longer than the longest gap between two requests of a connection.
const SETTLE: Duration = Duration::from_millis(3_500);

#[derive(Debug, Default)]
pub(crate) struct Options {
    full: bool,
    seed: Option<u64>,
    output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--full" => options.full = true,
                "--seed" => options.seed = Some(value()?.parse()?),
                "--output" => options.output = Some(value()?.into()),
                _ => return Err(format!("unknown argument {arg}\n{USAGE}").into()),
            }
        }
        if options.full {
            options.output.get_or_insert("tests/e2e/results".into());
        }
        Ok(options)
    }
}

/// Each group of arms at the same time, with the same requests and moments.
pub(crate) async fn run(options: Options) -> Result<ExitCode, BoxError> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let drains: usize = if options.full { 20 } else { 5 };
    println!("seed {seed}\n");
    let arms = [Arm::SERVED, Arm::SERVED_TO_THE_END];
    let of_streams = drains.div_ceil(2);
    let groups = [
        Vec::from(arms.map(|arm| Plan::requests(arm, drains))),
        // One after the other: a control that breaks its streams in one instant keeps the
        // thread of all clients busy.
        vec![Plan::streams(Arm::SERVED, of_streams)],
        vec![Plan::streams(Arm::SERVED_TO_THE_END, REPLICAS)],
        vec![Plan::rollout(Some(MAX_AGE)), Plan::rollout(None)],
        vec![Plan::short(drains)],
    ];
    let mut findings = Vec::new();
    for plans in groups {
        let together = plans.into_iter().map(|plan| replace(plan, seed));
        findings.extend(try_join_all(together).await?);
    }
    let text = report::text(&mut findings, seed);
    println!("{text}");
    for finding in &findings {
        for side in finding
            .sides
            .iter()
            .filter(|side| side.tally.failures() > 0)
        {
            let (plan, protocol) = (finding.plan, side.protocol.name());
            println!("{plan}, {protocol}, {}", side.tally.examples());
        }
    }
    let complaints: Vec<_> = findings.iter().flat_map(Finding::complaints).collect();
    for complaint in &complaints {
        eprintln!("WRONG: {complaint}");
    }
    if !complaints.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if let Some(directory) = options.output {
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("connections.md"), text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Replaces the oldest replica, as often as planned. Its replacement is ready, and receives
/// connections, before it drains.
async fn replace(plan: Plan, seed: u64) -> Result<Finding, BoxError> {
    let Plan { delay, drains, .. } = plan;
    let mut rng = Rng::with_seed(seed);
    let balancer = Spread::start(plan.arm.probe()).await?;
    let mut slots = 0..;
    let mut spawn = || -> Result<Server, BoxError> {
        let slot = slots.next().unwrap_or_default();
        let port = ports::free()?;
        let replica = Replica::spawn(Config {
            arm: plan.arm,
            port,
            slot,
            version: 1,
            drain_delay: delay,
            closing_cap: plan.closing_cap,
            max_age: plan.max_age,
        })?;
        Ok(Server {
            replica,
            port,
            slot,
        })
    };
    let mut serving = (0..REPLICAS)
        .map(|_| spawn())
        .collect::<Result<VecDeque<_>, _>>()?;
    for server in &mut serving {
        server.replica.ready().await?;
        balancer.add(server.port).await?;
    }

    let start = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let load = |protocol: &Protocol| Load {
        protocol: *protocol,
        address: balancer.address(),
        seed,
        start,
        stop: stopped.clone(),
    };
    let loads = plan.protocols.iter().map(load);
    let loads: Vec<_> = loads.map(|load| tokio::spawn(load.run())).collect();
    let mut next = spawn()?;
    let (ready, ()) = tokio::join!(next.replica.ready(), sleep(SETTLE));
    ready?;

    let mut drained = Vec::new();
    for number in 1..=drains {
        balancer.add(next.port).await?;
        serving.push_back(next);
        // Anywhere between two probes.
        sleep(spread::PROBE_EVERY.mul_f64(rng.f64())).await;
        let Some(old) = serving.pop_front() else {
            return Err("there is no replica".into());
        };
        let at = start.elapsed();
        next = spawn()?;
        let stop = async {
            if plan.cuts_off() {
                old.replica.stop_cutting_off().await
            } else {
                old.replica.stop().await
            }
        };
        tokio::try_join!(stop, async {
            if number < drains {
                next.replica.ready().await?;
            }
            Ok(())
        })?;
        drained.push(Drain {
            slot: old.slot,
            delay,
            at,
            lasted: start.elapsed().saturating_sub(at),
        });
        balancer.remove(old.port);
    }
    sleep(SETTLE).await;
    let after = balancer.connections();
    if plan.waits_for_age() {
        sleep(MAX_AGE.mul_f64(1.1)).await;
        // A client connects again with its next request.
        sleep(SETTLE).await;
    }
    let later = balancer.connections();
    stop.send(true)?;
    let mut sides = Vec::new();
    for load in loads {
        sides.push(load.await??);
    }
    Ok(Finding {
        plan,
        drains: drained,
        sides,
        spread: [after, later],
    })
}

struct Server {
    replica: Replica,
    port: u16,
    slot: usize,
}
