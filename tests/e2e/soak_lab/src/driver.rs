//! Starts the server and its clients, disturbs it from outside, and compares it before and
//! after.

use crate::{
    Error,
    asker::Events,
    child::Server,
    connection::Connection,
    followers::Followers,
    load::{Load, Tally},
    measure::Measure,
    options::Options,
    outside::{Clock, Outside},
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    task::LocalSet,
    time::sleep,
};

/// How long the server may take to end connections and tasks after the load.
const RESTS_WITHIN: Duration = Duration::from_secs(30);

/// How long the figures have to stay before they count. The record of refused requests
/// keeps a snapshot, with its history, until ten seconds after the last one; idle threads of
/// tokio end after ten seconds, too.
const RESTS_FOR: Duration = Duration::from_secs(12);

/// Runs the soak. Returns whether it found nothing.
pub(crate) async fn drive(options: &Options) -> Result<bool, Error> {
    let tasks = LocalSet::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = async {
        tokio::select! {
            interrupted = ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    };
    tokio::select! {
        // Its drop ends the server.
        ended = tasks.run_until(run(options)) => ended,
        interrupted = interrupted => {
            interrupted?;
            Err("it was interrupted".into())
        }
    }
}

async fn run(options: &Options) -> Result<bool, Error> {
    // The faults are found without help from outside.
    let from_outside = options.fault.is_none();
    let clock = if options.clock && from_outside {
        Some(Clock::new()?)
    } else {
        None
    };
    let mut server = Server::start(options, clock.as_ref()).await?;
    let mut outside = if from_outside {
        Some(Outside::new(&server, clock, options)?)
    } else {
        None
    };
    let tally = Rc::default();
    // The first load allocates what later ones use again.
    let warm_up = (options.time / 4).clamp(Duration::from_secs(2), Duration::from_secs(30));
    disturb(&mut server, &mut outside, &tally, warm_up, "warm up").await?;
    let before = baseline(&mut server).await?;
    let mode = match options.fault {
        Some(_) => "break",
        None => "run",
    };
    disturb(&mut server, &mut outside, &tally, options.time, mode).await?;
    // A fault lasts.
    let within = options
        .fault
        .map_or(RESTS_WITHIN, |_| Duration::from_secs(3));
    let after = rest(&mut server, &before, within).await?;
    let mut found = after.differences(&before);
    let counts = server.command("counts").await?;
    let findings: u64 = server.command("findings").await?.parse()?;
    if findings > 0 {
        found.push(format!("findings of the server: {findings}"));
    }
    if tally.failed.get() > 0 {
        found.push(format!("requests that failed: {}", tally.failed.get()));
    }
    if let Err(error) = server.end().await {
        found.push(error.to_string());
    }
    print(&tally, &counts, &before, &after);
    if let Some(outside) = &outside {
        println!("{outside}");
    }
    for difference in &found {
        println!("FAILED: {difference}");
    }
    Ok(found.is_empty())
}

/// Disturbs the server under load for this time, and ends both.
async fn disturb(
    server: &mut Server,
    outside: &mut Option<Outside>,
    tally: &Rc<Tally>,
    time: Duration,
    mode: &str,
) -> Result<(), Error> {
    server.command(mode).await?;
    let load = Load::start(server.application, tally);
    let followers = Followers::start(server.admin, tally).await?;
    match outside {
        Some(outside) => outside.disturb(server, time).await?,
        None => sleep(time).await,
    }
    load.end().await?;
    let version = server.command("calm").await?.parse()?;
    followers.end(version, tally).await?;
    // The listener keeps its last large answer, whose length depends on the history.
    let mut connection = Connection::open(server.admin).await?;
    Events::open(&mut connection).await?.follow(version).await
}

/// Waits until the measures agree for [`RESTS_FOR`].
async fn baseline(server: &mut Server) -> Result<Measure, Error> {
    let begin = Instant::now();
    let (mut before, mut since) = (server.measure().await?, begin);
    while since.elapsed() < RESTS_FOR {
        sleep(Duration::from_millis(500)).await;
        let after = server.measure().await?;
        if !after.is_at_rest(&before) {
            if begin.elapsed() > RESTS_WITHIN {
                return Err(format!("the server is not at rest: {before}, then {after}").into());
            }
            (before, since) = (after, Instant::now());
        }
    }
    Ok(before)
}

/// Waits until the server is as before, or until the time is over.
async fn rest(server: &mut Server, before: &Measure, within: Duration) -> Result<Measure, Error> {
    let begin = Instant::now();
    loop {
        let measure = server.measure().await?;
        if measure.is_at_rest(before) || begin.elapsed() > within {
            return Ok(measure);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn print(tally: &Tally, counts: &str, before: &Measure, after: &Measure) {
    println!("requests admitted     {:>12}", tally.admitted.get());
    for (reason, count) in &*tally.refused.borrow() {
        println!("refused, {reason:<12} {count:>12}");
    }
    println!("requests given up     {:>12}", tally.given_up.get());
    for count in counts.split(", ") {
        if let Some((name, count)) = count.split_once(": ") {
            println!("{name:<21} {count:>12}");
        }
    }
    println!("{:21} {:>12} {:>12}", "", "before", "after");
    let row =
        |name: &str, before: usize, after: usize| println!("{name:21} {before:>12} {after:>12}");
    row("tasks", before.tasks, after.tasks);
    row("requests held", before.waiting, after.waiting);
    row("requests in flight", before.in_flight, after.in_flight);
    row("descriptors", before.descriptors, after.descriptors);
    row("live heap, bytes", before.heap, after.heap);
    println!("growth of the heap    {:>+10.2} %", after.growth(before));
}
