//! The result, as Markdown.

use super::{
    REPLICAS,
    clients::{CONNECTIONS, Protocol, STREAMS_ON_ONE_IN},
    finding::{
        Drain, Finding, HTTP1_LOSES_AT_MOST, HTTP1_LOSES_UNTOLD, HTTP2_LOSES_AT_MOST, Leaving,
        SHARE_AT_MOST, STREAMS_AT_MOST, Side, UNEVEN_AT_MOST, unevenness,
    },
    plan::{CAP_OF_CONTROL, DELAY, MAX_AGE, SHORT_DELAY},
    spread::{NETWORK, PROBE_EVERY},
};
use crate::report::thousands;
use std::fmt::Write as _;

const COLUMNS: &str = "\
| arm | protocol | requests or streams | failed | why they failed | connections that left | told by an answer or a last message | requests given back | left in a tenth, at most | open at the end | send lag ms |
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
    for finding in &mut *findings {
        let [_, _, longest] = finding.lasted().summary();
        let _ = writeln!(
            text,
            "- {}, {}: {} drains; of all connections of a replica, {} left in a tenth of the delay, \
             at most; {:.1} s from SIGTERM to the end of the process, at most.",
            finding.plan,
            if finding.plan.protocols[0].is_stream() {
                "streams"
            } else {
                "requests"
            },
            finding.drains.len(),
            shares(&finding.drains, |drain| finding.leaving(drain)),
            longest / 1000.0,
        );
    }
    for finding in findings
        .iter()
        .filter(|finding| finding.plan.waits_for_age())
    {
        let [after, later] = &finding.spread;
        let _ = writeln!(
            text,
            "- {}: after a rollout of all replicas they had {} connections, and one maximum age \
             later {}, which is {:.0} % more on the one than on the other.",
            finding.plan,
            sum(after),
            sum(later),
            unevenness(later) * 100.0,
        );
    }
    text
}

fn sum(connections: &[usize]) -> String {
    let connections: Vec<_> = connections.iter().map(ToString::to_string).collect();
    connections.join(" + ")
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
    let (loses, loses_http2) = (HTTP1_LOSES_AT_MOST * 100.0, HTTP2_LOSES_AT_MOST * 100.0);
    let (untold, streams) = (HTTP1_LOSES_UNTOLD * 100.0, STREAMS_AT_MOST * 100.0);
    let (age, short) = (MAX_AGE.as_secs(), SHORT_DELAY.as_secs_f64());
    let (cap, uneven) = (CAP_OF_CONTROL.as_secs(), UNEVEN_AT_MOST * 100.0);
    format!(
        "\
# Connections that are kept while their replicas are replaced

Made by `tests/e2e/connections --full`: {CONNECTIONS} kept HTTP/1 and {CONNECTIONS} kept HTTP/2
connections an arm, through a balancer that passes on bytes and asks `/readyz` every
{probe} ms, to {REPLICAS} replicas, over a network that takes {network} ms or a little more each
way. On each connection POSTs follow one another with random gaps of 0.2 to 3 s; one in
{STREAMS_ON_ONE_IN} HTTP/2 connections has streams of 0.5 to 1.5 s as well. The oldest replica
gets SIGTERM once its replacement receives connections; the drain delay is {delay} s.
Arms with requests run at the same time as their control, with the same gaps.

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

The arms with streams have {CONNECTIONS} clients of each kind: server-sent events, websockets
(tokio-tungstenite) and calls of tonic. A handler sends a message a second until
`Retiring` tells it that its connection retires, and then a last one. A stream ended well
if that message and the regular end of its protocol arrived (the last chunk, a close
frame, the status OK); then its client opens the next one. Without a window, no handler
ends its stream, and the replica cuts them off {cap} s after the delay.

The arm with a maximum age of {age} s has both of its replicas replaced, as has its control. The
balancer counts the connections of each replica then, and one maximum age later. The
delay of {short} s is shorter than the second without a request after which an idle HTTP/1
connection is closed, so that those without a request in it are closed at its end.

The run fails if tower-readiness with a window loses more than {loses_http2} % of its HTTP/2
requests (and more than one), breaks a stream, or loses more HTTP/1 requests than {loses} % of the HTTP/1
connections that left ({untold} % in the arms with a maximum age, their control, and a delay of
{short} s, where no answer announces the end in time); if more than {share} % of all connections
of a replica, or {streams} % of its streams, leave in a tenth of the delay of {delay} s; or if, one
maximum age after the rollout, a replica has {uneven} % more connections than the other.
It also fails if a control behaves as well: if the HTTP/2 connections without a window do
not leave together, their streams are not broken, or connections without a maximum age
are even.

Seed {seed}.

"
    )
}

fn row(finding: &mut Finding, side: usize) -> String {
    let (plan, drains) = (finding.plan, &finding.drains);
    let side: &mut Side = &mut finding.sides[side];
    let shares = shares(drains, |drain| side.leaving(drain));
    let at_end: Vec<_> = side.at_end.values().map(ToString::to_string).collect();
    let told = match side.protocol {
        // By GOAWAY, which the client does not see.
        Protocol::Http2 => "–".to_owned(),
        _ => thousands(side.announced() as u64),
    };
    let lag = side.tally.lag.summary().map(|time| format!("{time:.1}"));
    let lag = if side.protocol.is_stream() {
        // A client opens a stream when the one before it has ended.
        "–".to_owned()
    } else {
        lag.join(" / ")
    };
    let is_control = plan.is_control() || plan.is_control_of_age;
    let emphasis = if is_control { "" } else { "**" };
    format!(
        "| {emphasis}{plan}{emphasis} | {} | {} | {} | {} | {} | {told} | {} | {shares} | {} | {} |\n",
        side.protocol.name(),
        thousands(side.tally.sent),
        thousands(side.tally.failures()),
        side.tally.causes(),
        thousands(side.departures.len() as u64),
        thousands(side.unsent),
        at_end.join(" + "),
        lag,
    )
}
