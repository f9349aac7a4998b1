use crate::{
    lines::{Lines, alone},
    support::{ready, starting},
};
use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};
use tokio::time::advance;
use tower_readiness::{Group, Readiness, Reporter, Subsystem};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer, Registry, filter::LevelFilter, layer::Context, layer::SubscriberExt,
};

#[test]
fn transitions_are_logged_at_their_level_and_repeats_are_not() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::DEBUG);
    let (readiness, storage) = starting();
    for (step, logged) in [
        (
            &|| storage.starting("half") as _,
            &["DEBUG subsystem starting"][..],
        ),
        (
            &|| storage.ready(),
            &[
                "INFO subsystem ready",
                "INFO process phase",
                "INFO process readiness",
            ],
        ),
        (&|| storage.ready(), &[]),
        (
            &|| storage.degraded("slow"),
            &["WARN subsystem degraded", "INFO process readiness"],
        ),
        (
            &|| storage.failing("gone"),
            &["WARN subsystem failing", "WARN process readiness lost"],
        ),
        (&|| storage.dead("gone"), &["ERROR subsystem dead"]),
        (
            &|| storage.ready(),
            &["INFO subsystem ready", "INFO process readiness regained"],
        ),
        (
            &|| drop(readiness.pause("standby")),
            &[
                "INFO process paused",
                "INFO process readiness",
                "INFO process resumed",
                "INFO process readiness",
            ],
        ),
        (
            &|| drop(readiness.reloading()),
            &["INFO process reloads", "INFO process has reloaded"],
        ),
        (
            &|| readiness.drain(),
            &["INFO process phase", "INFO process readiness"],
        ),
    ] as [(&dyn Fn(), &[&str]); 10]
    {
        step();
        assert_eq!(lines.take(logged.len()), logged);
    }
}

#[test]
fn a_report_that_does_not_count_yet_is_logged_once_at_debug() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::DEBUG);
    let storage = Subsystem::new("storage").hold_down(Duration::from_secs(3600));
    let readiness = Readiness::builder().subsystem(storage).build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    lines.take(3);
    storage.failing("gone");
    let damped = lines.take_whole(1);
    assert!(damped[0].starts_with("DEBUG report damped"), "{damped:?}");
    assert!(
        damped[0].contains("state=failing reason=\"gone\""),
        "{damped:?}"
    );
    storage.failing("gone");
    storage.ready();
    storage.dead("broken");
    assert_eq!(
        lines.take(2),
        ["ERROR subsystem dead", "WARN process readiness lost"]
    );
}

#[test]
fn lost_liveness_is_told_once_and_not_for_each_scope() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("engine").vital())
        .scope("read", ["storage"])
        .build()
        .unwrap();
    let reporters = ["storage", "engine"].map(|name| readiness.reporter(name).unwrap());
    reporters.iter().for_each(Reporter::ready);
    lines.take(4);
    reporters[1].dead("hangs");
    assert_eq!(
        lines.take(3),
        [
            "ERROR subsystem dead",
            "WARN process readiness lost",
            "ERROR process liveness lost"
        ]
    );
}

/// A group of which some members change all the time fills no log.
#[tokio::test(start_paused = true)]
async fn a_group_logs_its_turns_and_not_its_counts() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::DEBUG);
    let group = Group::new("upstream").degraded_below(0.5);
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.group(group).build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let members = ["a", "b", "c", "d"].map(|name| group.add(name).unwrap());
    let mut versions = vec![readiness.snapshot().version()];
    for member in &members {
        member.ready();
        advance(Duration::from_millis(50)).await;
        versions.push(readiness.snapshot().version());
    }
    assert!(versions.is_sorted_by(|before, after| before < after));
    members[..3]
        .iter()
        .for_each(|member| member.failing("gone"));
    let shown = lines.take_whole(3);
    for (line, part) in shown.iter().zip(["degraded", "ready", "degraded"]) {
        assert!(line.contains(&format!("subsystem {part}")), "{shown:?}");
    }
    assert!(
        shown[2].contains("1 of 4 ready; 3 failing: a, b, c"),
        "{shown:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn losing_readiness_names_the_culprits_and_regaining_it_tells_how_long_it_lasted() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("policy"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, policy, index] =
        ["storage", "policy", "index"].map(|name| readiness.reporter(name).unwrap());
    for reporter in [&storage, &policy, &index] {
        reporter.ready();
    }
    // Each is ready, and the process has started and is ready.
    lines.take(3 + 3);

    storage.starting("reconnecting");
    let lost = lines.take_whole(1);
    let causes = "WARN process readiness lost version=8 condition=failing \
                  causes=storage (starting: reconnecting)";
    assert_eq!(lost, [causes]);
    advance(Duration::from_secs(5)).await;
    // One more cause is not another loss.
    policy.failing("no rules");
    assert_eq!(lines.take(1), ["WARN subsystem failing"]);
    storage.ready();
    assert_eq!(lines.take(1), ["INFO subsystem ready"]);
    advance(Duration::from_secs(7)).await;
    policy.ready();
    let regained = lines.take_whole(2).pop().unwrap();
    let lasted = "INFO process readiness regained version=11 ready=true condition=ready \
                  lasted=12s";
    assert_eq!(regained, lasted);

    // A scope has readiness of its own.
    index.starting("rebuilding");
    let lost = lines.take_whole(2);
    let causes = "WARN scope readiness lost version=12 scope=\"search\" condition=failing \
                  causes=index (starting: rebuilding)";
    assert_eq!(lost[1], causes);
    advance(Duration::from_secs(90)).await;
    index.ready();
    let regained = lines.take_whole(3).pop().unwrap();
    assert!(regained.ends_with("lasted=1m"), "{regained}");

    // While it drains, tasks end in any order.
    readiness.drain();
    lines.take(2);
    storage.failing("closed");
    assert_eq!(
        lines.take(2),
        ["WARN subsystem failing", "INFO process readiness"]
    );
}

/// Gives each event to a function.
struct Each<F>(F);

impl<S: Subscriber, F: Fn(&Event<'_>, &Context<'_, S>) + Send + Sync + 'static> Layer<S>
    for Each<F>
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.0(event, &context);
    }
}

/// The `version` of an event.
#[derive(Default)]
struct Version(Option<u64>);

impl tracing::field::Visit for Version {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "version" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

#[test]
fn lines_are_emitted_in_the_order_of_publication_whichever_thread_reports() {
    let _alone = alone();
    const EACH: usize = 200;
    let versions = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&versions);
    let layer = Each(move |event: &Event<'_>, _: &Context<'_, Registry>| {
        let mut version = Version::default();
        event.record(&mut version);
        seen.lock().unwrap().push(version.0.unwrap());
    });
    let subscriber = tracing::Dispatch::new(Registry::default().with(layer));
    let names = ["a", "b", "c", "d"];
    let builder = names
        .into_iter()
        .fold(Readiness::builder(), |builder, name| {
            builder.subsystem(Subsystem::new(name).optional())
        });
    let readiness = builder.allow_empty().build().unwrap();
    thread::scope(|scope| {
        for name in names {
            let (readiness, subscriber) = (&readiness, &subscriber);
            scope.spawn(move || {
                let _logs = tracing::dispatcher::set_default(subscriber);
                let reporter = readiness.reporter(name).unwrap();
                for number in 0..EACH {
                    reporter.degraded(number.to_string());
                }
                reporter.leave_ready();
            });
        }
    });
    let all = || versions.lock().unwrap().len() >= names.len() * EACH;
    while !all() {
        thread::yield_now();
    }
    let versions = versions.lock().unwrap();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[test]
fn a_line_is_within_the_span_of_its_cause() {
    let _alone = alone();
    let (tell, told) = mpsc::channel();
    let layer = Each(move |event: &Event<'_>, context: &Context<'_, Registry>| {
        let span = context.event_span(event).map(|span| span.name());
        let thread = thread::current().name().map(str::to_owned);
        tell.send((span, thread)).unwrap();
    });
    let _logs = tracing::subscriber::set_default(Registry::default().with(layer));
    let (_readiness, storage) = ready();
    let told = |count| -> Vec<_> {
        let next = || told.recv_timeout(Duration::from_secs(30)).unwrap();
        std::iter::repeat_with(next).take(count).collect()
    };
    told(3);
    let log = Some("readiness-log".to_owned());
    tracing::info_span!("migration").in_scope(|| storage.failing("gone"));
    let within = (Some("migration"), log.clone());
    assert_eq!(told(2), [within.clone(), within]);
    storage.failing("still gone");
    assert_eq!(told(1), [(None, log)]);
}

#[test]
fn a_subscriber_that_reports_while_it_is_given_a_line_does_not_hang() {
    let _alone = alone();
    let (readiness, storage) = ready();
    let (tell, told) = mpsc::channel();
    let audit = readiness.add(Subsystem::new("audit").optional()).unwrap();
    let layer = Each(move |_: &Event<'_>, _: &Context<'_, Registry>| {
        // Each time anew, so that it would never end if it were logged.
        audit.degraded(format!("{:?}", std::time::Instant::now()));
        let _ = tell.send(());
    });
    let _logs = tracing::subscriber::set_default(Registry::default().with(layer));
    storage.failing("gone");
    for _ in 0..2 {
        told.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    let audit = readiness.snapshot().subsystem("audit").unwrap().state();
    assert_eq!(audit, tower_readiness::State::Degraded);
}

#[test]
fn an_unused_subscriber_is_dropped() {
    let _alone = alone();
    let subscriber = Registry::default().with(LevelFilter::DEBUG);
    let subscriber = tracing::Dispatch::new(subscriber);
    let weak = subscriber.downgrade();
    let (readiness, storage) = starting();
    tracing::dispatcher::with_default(&subscriber, || storage.failing("gone"));
    drop(subscriber);
    while weak.upgrade().is_some() {
        thread::yield_now();
    }
    drop(readiness);
}
