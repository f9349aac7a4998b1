//! The results, as Markdown.

use crate::{
    arms::Arm,
    balancer::Retries,
    scenario::{Finding, Findings, Traffic},
    tally::Quantiles,
};
use std::fmt::Write as _;

pub(crate) const PREFACE: &str = "\
# A service behind HAProxy while it is restarted, scaled, replaced and broken

Made by `tests/e2e/rollout --full`: replicas of a demo service, each of which
needs three seconds to have all of its subsystems up, behind a real HAProxy.
Requests leave on schedule whatever became of those before them; no client
tries again. A failure is each request not answered in full, by exactly one run
of a handler, for its own request, with 2xx. All arms of a scenario run at the
same time, with the same requests, restarts, checks and rollout gating.

The last columns are the median, the 99th percentile and the largest. Latency is
that of plain requests that succeeded, counted from when they were due; send lag
is how late requests left; noticed is how long after SIGTERM the balancer held
the replica for down, if it did before that had ended. One shared machine runs
all of it, so compare arms within a table.
";

const COLUMNS: &str = "\
| arm | requests | drains | failed | success % | why they failed | latency ms | send lag ms | noticed ms |
|---|---:|---:|---:|---:|---|---:|---:|---:|
";

/// A heading, the description of the scenario, and a row for each arm.
pub(crate) fn section(findings: &mut Findings) -> String {
    let scenario = &findings.scenario;
    let retries = match scenario.settings.retries {
        Retries::Off => "retries off",
        Retries::On => "retries on",
    };
    let kind = match scenario.traffic {
        Traffic::Mixed { .. } => "mixed load",
        Traffic::Pinned { .. } => "one connection a client",
    };
    let mut text = format!(
        "### {}\n\n{}\n\n{} requests/s an arm, {kind}; drain delay {} s; balancer: {}, {retries}.\n\n{COLUMNS}",
        scenario.name,
        scenario.about,
        thousands(u64::from(scenario.rate)),
        scenario.settings.drain_delay.as_secs_f64(),
        scenario.settings.checks,
    );
    for finding in &mut findings.arms {
        text.push_str(&row(finding));
    }
    text
}

fn row(finding: &mut Finding) -> String {
    let tally = &mut finding.tally;
    let mut why = tally.causes();
    if tally.apart_sent > 0 {
        let separator = if why.is_empty() { "" } else { "; " };
        let _ = write!(
            why,
            "{separator}apart: {} of {} that need the database",
            thousands(tally.apart_failed),
            thousands(tally.apart_sent),
        );
    }
    let latency = milliseconds(&mut tally.latency);
    let lag = milliseconds(&mut tally.lag);
    let noticed = milliseconds(&mut finding.noticed);
    let arm = finding.arm;
    let emphasis = if arm == Arm::OURS { "**" } else { "" };
    format!(
        "| {emphasis}{arm}{emphasis} | {} | {} | {} | {} | {why} | {latency} | {lag} | {noticed} |\n",
        thousands(tally.sent),
        finding.drains,
        thousands(tally.failures()),
        percent(tally.success(), tally.failures()),
    )
}

/// Three decimals; failures never round up to 100.
fn percent(success: f64, failures: u64) -> String {
    let rounded = format!("{success:.3}");
    if failures > 0 && rounded == "100.000" {
        "99.999".to_owned()
    } else {
        rounded
    }
}

fn milliseconds(times: &mut Quantiles) -> String {
    if times.is_empty() {
        return "–".to_owned();
    }
    times.summary().map(|time| format!("{time:.1}")).join(" / ")
}

pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
