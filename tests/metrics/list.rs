//! Names, labels and the number of series.

use crate::{family, labels, numbers};
use std::collections::{BTreeMap, BTreeSet};
use tower_readiness::{
    Condition, Phase, Readiness, ReadinessLayer, Reason, State, Subsystem,
    observe::metrics::MetricKind, wire::Probe,
};

const GUIDE: &str = include_str!("../../src/guide/metrics.rs");

/// Name, kind and labels of each row of the table in the guide.
fn in_the_guide() -> Vec<[String; 3]> {
    let rows = GUIDE.lines().filter_map(|line| {
        let row = line.strip_prefix("//! | `readiness_")?;
        let mut cells = row.split('|').map(|cell| cell.replace(['`', ' '], ""));
        let name = format!("readiness_{}", cells.next()?);
        let (kind, labels) = (cells.next()?, cells.next()?);
        Some([name, kind, labels])
    });
    rows.collect()
}

fn everything() -> Readiness {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness);
    let _counts = layer.count_in_flight().observe_outcomes();
    let search = readiness.scope("search").unwrap();
    let _observes = ReadinessLayer::gate(search).observe_outcomes();
    readiness
}

#[test]
fn the_guide_lists_the_metrics_of_the_code() {
    let of_the_code = everything().families().into_iter().map(|family| {
        let kind = match family.kind() {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
            MetricKind::Info => "info",
            other => panic!("{other:?}"),
        };
        let labels = family.labels().join(",");
        [family.name().to_owned(), kind.to_owned(), labels]
    });
    assert_eq!(of_the_code.collect::<Vec<_>>(), in_the_guide());
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let mut names = BTreeSet::new();
    for family in everything().families() {
        let (name, kind) = (family.name(), family.kind());
        assert!(names.insert(name), "{name} twice");
        let is_snake = |text: &str| text.chars().all(|it| it.is_ascii_lowercase() || it == '_');
        assert!(name.starts_with("readiness_") && is_snake(name), "{name}");
        assert!(family.labels().iter().all(|label| is_snake(label)));
        assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter);
        assert_eq!(name.ends_with("_info"), kind == MetricKind::Info);
        let base = name.strip_suffix("_total").unwrap_or(name);
        assert_eq!(base.ends_with("_seconds"), family.unit() == Some("seconds"));
        assert!(family.help().ends_with('.'), "{name}");
    }
}

fn words<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_labels_exists_from_the_start() {
    let readiness = everything();
    let scopes = || words(&["readiness", "search"]);
    let subsystems = || words(&["storage", "index"]);
    let outcomes = [
        "refused",
        "shed",
        "held",
        "dry_run_refused",
        "dry_run_shed",
        "dry_run_held",
    ];
    let statuses = ["200", "400", "404", "405", "503"];
    let expected = BTreeMap::from([
        (
            "readiness_verdict",
            vec![scopes(), words(&["startup", "readiness", "liveness"])],
        ),
        ("readiness_condition", vec![scopes(), words(Condition::ALL)]),
        ("readiness_phase", vec![words(Phase::ALL)]),
        ("readiness_subsystems", vec![words(State::ALL)]),
        (
            "readiness_subsystem_state",
            vec![subsystems(), words(State::ALL)],
        ),
        (
            "readiness_subsystem_transitions_total",
            vec![subsystems(), words(State::ALL)],
        ),
        (
            "readiness_subsystem_last_report_timestamp_seconds",
            vec![subsystems()],
        ),
        (
            "readiness_subsystem_startup_duration_seconds",
            vec![subsystems()],
        ),
        (
            "readiness_requests_total",
            vec![scopes(), words(&outcomes), words(Reason::ALL)],
        ),
        (
            "readiness_drift_requests_total",
            vec![scopes(), words(&["answered", "failed"])],
        ),
        ("readiness_drift_refusing_seconds_total", vec![scopes()]),
        (
            "readiness_probes_total",
            vec![words(Probe::ALL), words(&statuses)],
        ),
        // There is no group here.
        ("readiness_group_members", vec![vec![]]),
        // Not measured here.
        ("readiness_runtime_delay_seconds", vec![vec![]]),
        ("readiness_check_duration_seconds", vec![vec![]]),
        (
            "readiness_mirror_errors_total",
            vec![words(&["systemd", "termination"])],
        ),
        (
            "readiness_build_info",
            vec![words(&[env!("CARGO_PKG_VERSION")])],
        ),
    ]);
    let holds = [
        "readiness liveness",
        "readiness starting",
        "search liveness",
        "search starting",
        "starting",
        "storage starting",
        "index starting",
    ];
    for each in readiness.families() {
        let none = vec![];
        let values = expected.get(each.name()).unwrap_or(&none);
        let combined = values.iter().fold(vec![String::new()], |all, values| {
            let join = |first: &String| {
                let first = first.clone();
                values
                    .iter()
                    .map(move |value| format!("{first} {value}").trim().to_owned())
            };
            all.iter().flat_map(join).collect()
        });
        let found: Vec<_> = each.samples().iter().map(labels).collect();
        assert_eq!(found, combined, "{}", each.name());

        for sample in each.samples() {
            let labels = labels(sample);
            let name = each.name();
            let is_counter = matches!(each.kind(), MetricKind::Counter);
            let expected = match name {
                "readiness_build_info" => 1.0,
                "readiness_subsystems" if labels == "starting" => 2.0,
                // Other tests of this process may have filled the log.
                "readiness_log_lines_dropped_total" => continue,
                _ if holds.contains(&&*labels) && !is_counter => 1.0,
                _ => 0.0,
            };
            let expected_all = vec![expected; numbers(sample).len()];
            assert_eq!(numbers(sample), expected_all, "{name} {labels}");
        }
    }
}

#[test]
fn the_first_subsystems_have_series_and_all_of_them_count() {
    let name = |index| format!("tenant-{index}");
    let declare = |count: usize| {
        let subsystems = (0..count).map(|index| Subsystem::new(name(index)));
        subsystems.fold(Readiness::builder(), tower_readiness::Builder::subsystem)
    };
    let series = |readiness: &Readiness| {
        let state = family(readiness, "readiness_subsystem_state");
        let ready = state.keys().filter_map(|key| key.strip_suffix(" ready"));
        ready.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let readiness = declare(1_100).build().unwrap();
    assert_eq!(series(&readiness), (0..200).map(name).collect());
    let counted = family(&readiness, "readiness_subsystems");
    assert_eq!(counted["starting"], [1_100.0]);

    for (limit, count) in [(0, 0), (3, 3), (5_000, 1_100), (usize::MAX, 1_100)] {
        let readiness = declare(1_100).metrics_for(limit).build().unwrap();
        assert_eq!(series(&readiness), (0..count).map(name).collect());
    }

    // The end of one subsystem gives no series to another.
    let readiness = declare(4).metrics_for(2).build().unwrap();
    readiness.reporter("tenant-0").unwrap().retire();
    assert_eq!(series(&readiness), BTreeSet::from([name(1)]));
    let _added = readiness.add(Subsystem::new("added")).unwrap();
    let expected = BTreeSet::from(["added".to_owned(), name(1)]);
    assert_eq!(series(&readiness), expected);
}
