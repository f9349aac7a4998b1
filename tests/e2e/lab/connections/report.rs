//! The result, as Markdown.

use super::{
    DELAY, REPLICAS,
    clients::{CONNECTIONS, Protocol, STREAMS_ON_ONE_IN},
    finding::{Drain, Finding, HTTP1_LOSES_AT_MOST, Leaving, SHARE_AT_MOST, Side},
    spread::{NETWORK, PROBE_EVERY},
};
use crate::{arms::Arm, report::thousands};
use std::fmt::Write as _;

const COLUMNS: &str = "\
| arm | protocol | requests | failed | why they failed | connections that left | told by an answer | requests given back | left in a tenth, at most | open at the end | send lag ms |
|---|---|---:|---:|---|---:|---:|---:|---:|---|---:|
";

pub(super) fn text(findings: &mut [Finding], seed: u64) -> String {
    let mut text = preface(seed);
    text.push_str(COLUMNS);
    for finding in &mut *findings {
        for side in 0..finding.sides.len() {
            text.push_str(&row(finding, side));
        }
    }
    text.push('\n');
    for finding in findings {
        let [_, _, longest] = finding.lasted().summary();
        let _ = writeln!(
            text,
            "- {}: {} drains; of all connections of a replica, {} left in a tenth of the delay, at \
             most; {:.1} s from SIGTERM to the end of the process, at most.",
            finding.arm,
            finding.drains.len(),
            shares(&finding.drains, |drain| finding.leaving(drain)),
            longest / 1000.0,
        );
    }
    text
}

/// The largest share, and in brackets the smallest.
fn shares(drains: &[Drain], leaving: impl Fn(&Drain) -> Leaving) -> String {
    let shares = drains.iter().map(|drain| leaving(drain).largest * 100.0);
    let largest = shares.clone().fold(0.0, f64::max);
    let smallest = shares.fold(100.0, f64::min);
    format!("{largest:.1} % ({smallest:.1} %)")
}

fn preface(seed: u64) -> String {
    let (network, probe) = (NETWORK.as_millis(), PROBE_EVERY.as_millis());
    let (delay, share) = (DELAY.as_secs(), SHARE_AT_MOST * 100.0);
    let loses = HTTP1_LOSES_AT_MOST * 100.0;
    format!(
        "\
# Connections that are kept while their replicas are replaced

Made by `tests/e2e/connections --full`: {CONNECTIONS} kept HTTP/1 and {CONNECTIONS} kept HTTP/2
connections an arm, through a balancer that passes on bytes and asks `/readyz` every
{probe} ms, to {REPLICAS} replicas, over a network that takes {network} ms or a little more each
way. On each connection POSTs follow one another with random gaps of 0.2 to 3 s; one in
{STREAMS_ON_ONE_IN} HTTP/2 connections has streams of 0.5 to 1.5 s as well. The oldest replica
gets SIGTERM once its replacement receives connections; the drain delay is {delay} s.
Both arms run at the same time, with the same gaps.

No request is sent twice. One that hyper's client gives back, because its connection
had ended before it was sent, leaves on the next connection. The clients run on one
thread: on several, hyper also fails requests that are handed over while GOAWAY arrives.
On one, it fails one that it writes after it has acknowledged the first GOAWAY, so that
the second one refuses it; the more connections end at once, the likelier that is. A
failure is each request not answered in full, by exactly one run of a handler, for its
own request, with 2xx.

Without a window, HTTP/2 connections end at the end of the delay, and HTTP/1 answers say
`connection: close` from the first moment of the drain. An HTTP/1 connection that was not
told by an answer was closed while it was idle, in which instant its client may send the
next request. The tenth of the delay begins where most connections leave; the share is
that of the worst drain, in brackets that of the best.

The run fails if tower-readiness with a window loses an HTTP/2 request, or more HTTP/1
requests than {loses} % of the HTTP/1 connections that left, or if more than {share} % of all
connections of a replica leave in a tenth of the delay; and if without a window the
HTTP/2 connections do not leave together.

Seed {seed}.

"
    )
}

fn row(finding: &mut Finding, side: usize) -> String {
    let (arm, drains) = (finding.arm, &finding.drains);
    let side: &mut Side = &mut finding.sides[side];
    let shares = shares(drains, |drain| side.leaving(drain));
    let at_end: Vec<_> = side.at_end.values().map(ToString::to_string).collect();
    let told = match side.protocol {
        Protocol::Http1 => thousands(side.announced() as u64),
        // By GOAWAY, which the client does not see.
        Protocol::Http2 => "–".to_owned(),
    };
    let lag = side.tally.lag.summary().map(|time| format!("{time:.1}"));
    let emphasis = if arm == Arm::SERVED { "**" } else { "" };
    format!(
        "| {emphasis}{arm}{emphasis} | {} | {} | {} | {} | {} | {told} | {} | {shares} | {} | {} |\n",
        side.protocol.name(),
        thousands(side.tally.sent),
        thousands(side.tally.failures()),
        side.tally.causes(),
        thousands(side.departures.len() as u64),
        thousands(side.unsent),
        at_end.join(" + "),
        lag.join(" / "),
    )
}
