//! Starts the server and its clients, disturbs it from outside, and compares it before and
//! after.

use crate::{
    Error,
    child::Server,
    load::{Load, Tally},
    measure::Measure,
    options::Options,
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{task::LocalSet, time::sleep};

/// How long the server may take to end connections and tasks after the load.
const RESTS_WITHIN: Duration = Duration::from_secs(30);

/// Runs the soak. Returns whether it found nothing.
pub(crate) async fn drive(options: &Options) -> Result<bool, Error> {
    LocalSet::new().run_until(run(options)).await
}

async fn run(options: &Options) -> Result<bool, Error> {
    let mut server = Server::start(options).await?;
    let tally = Rc::default();
    // The first load allocates what later ones use again.
    let warm_up = (options.time / 4).clamp(Duration::from_secs(2), Duration::from_secs(30));
    disturb(&mut server, &tally, warm_up, "warm up").await?;
    let before = baseline(&mut server).await?;
    let mode = match options.fault {
        Some(_) => "break",
        None => "run",
    };
    disturb(&mut server, &tally, options.time, mode).await?;
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
    for difference in &found {
        println!("FAILED: {difference}");
    }
    Ok(found.is_empty())
}

/// Disturbs the server under load for this time, and ends both.
async fn disturb(
    server: &mut Server,
    tally: &Rc<Tally>,
    time: Duration,
    mode: &str,
) -> Result<(), Error> {
    server.command(mode).await?;
    let load = Load::start(server.application, tally);
    sleep(time).await;
    load.end().await?;
    server.command("calm").await?;
    Ok(())
}

/// Waits until two measures a second apart agree.
async fn baseline(server: &mut Server) -> Result<Measure, Error> {
    let begin = Instant::now();
    let mut before = server.measure().await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        let after = server.measure().await?;
        if after.is_at_rest(&before) {
            return Ok(after);
        }
        if begin.elapsed() > RESTS_WITHIN {
            return Err(format!("the server is not at rest: {before}, then {after}").into());
        }
        before = after;
    }
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
