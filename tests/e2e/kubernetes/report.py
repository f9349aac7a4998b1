"""What came out, as Markdown."""

import manifest
from scenarios import LOSES, SAVES

PREFACE = """\
# The shipped manifests on Kubernetes 1.20.2

Made by `tests/e2e/kubernetes/run --full`: one node (etcd, kube-apiserver, controllers,
scheduler, kubelet, kube-proxy with iptables, containerd), an image as
`examples/deploy/docker/Dockerfile` describes it, and the manifests of
`examples/deploy/kubernetes`. Requests come from beyond the node, leave on schedule
whatever became of those before them, and are never sent twice: 35 % over HTTP/1 with a
connection each, 30 % over HTTP/1 from a pool, 20 % on 20 HTTP/2 connections that are
kept, and 15 % are gRPC health checks on 10 channels. One that was not sent, because the
connection had ended before, leaves on another connection. Of the HTTP requests 2 % take
two seconds. A request failed unless a handler answered it with 2xx and in full. (gRPC's
health service is never refused, so health checks fail only for want of a connection.)
"""

NOT_PROVED = """\
Not proved here: probes by gRPC (`grpc-probes.yaml` needs Kubernetes 1.24), the fallback
of kube-proxy to terminating endpoints (KEP-1669, Kubernetes 1.26), and the
NetworkPolicy of `admin-port.yaml`, which these network plugins ignore."""


def introduction(files):
    """What is not as shipped."""
    for file in sorted(files):
        differences = ", ".join(manifest.differences(file)) or "nothing"
        yield f"{file} as shipped; changed for Kubernetes 1.20: {differences}."
    yield f"Changed in every arm: {manifest.says_its_pod().words}, and the number of replicas."


def section(outcome):
    """All that was seen of one step of one arm."""
    client, seen, arm = outcome.client, outcome.seen, outcome.arm
    changes = ", ".join([f"{arm.replicas} replicas", *(change.words for change in arm.changes)])
    yield f"### {title(outcome)}: {arm.name}"
    yield ""
    yield f"{arm.file}, {changes}; {arm.rate} requests/s; {claim(outcome)}."
    yield ""
    for fact in seen.facts:
        yield f"- {fact}"
    causes = f" ({client.causes()})" if client.failures else ""
    yield f"- clients: {thousands(client.sent())} requests, {thousands(len(client.failures))} failed{causes}"
    yield f"- {client.by_transport()}"
    if seen.since and arm.claims != LOSES:
        transports = " and ".join(sorted(seen.transports or ["all transports"]))
        yield f"- once the pod was out of kube-proxy's rules ({transports}): {len(outcome.counted())} failed"
    share, connections = client.largest_share()
    if connections:
        yield f"- of {connections} HTTP/2 connections to one pod, {share} % ended within the same half second"
    last = client.reports[-1]
    at_end = ", ".join(str(count) for count in sorted(last["connections"].values()))
    yield f"- HTTP/2 connections to each pod at the end: {at_end}"
    if not_serving := sum(report["not_serving"] for report in client.reports):
        yield f"- gRPC health checks that were answered NOT_SERVING: {thousands(not_serving)}"
    if len(client.reports) > 1:
        yield f"- tried {len(client.reports)} times until something was lost"
    median, p99, largest = last["lag_ms"]
    yield f"- requests left late by {median:.1f} ms (median), {p99:.1f} (p99), {largest:.1f} (largest)"
    yield f"- took {outcome.seconds:.0f} s"
    for one in outcome.wrong:
        yield f"- **WRONG**: {one}"


def claim(outcome):
    if outcome.arm.claims == SAVES and outcome.seen.since:
        return f"{SAVES} on fresh connections once kube-proxy knows"
    return outcome.arm.claims


def title(outcome):
    return f"{outcome.scenario}, {outcome.step.__doc__}"


def summary(outcomes):
    yield "| scenario, what happens | arm | requests | failed | kept connections | failed | |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for one in outcomes:
        numbers = " | ".join(map(thousands, [*one.judged(), *one.others()]))
        yield f"| {title(one)} | {one.arm.name} | {numbers} | {verdict(one, outcomes)} |"
    yield ""
    yield headline(outcomes)
    yield ""
    yield NOT_PROVED


def verdict(outcome, outcomes):
    """What the figures of an arm say."""
    claims = outcome.arm.claims
    if claims == LOSES:
        return claims
    found = []
    if outcome.seen.since:
        fresh = "on fresh connections " if outcome.seen.transports else ""
        found.append(f"{len(outcome.counted())} {fresh}once kube-proxy knows")
    if claims == SAVES:
        lost = sum(len(one.counted()) for one in controls_of(outcome, outcomes))
        if lost and not outcome.wrong:
            found.append(f"proved: its control lost {thousands(lost)}")
        else:
            found.append("**not proved**")
    return "; ".join(found)


def controls_of(outcome, outcomes):
    same = (outcome.scenario, outcome.step)
    return [one for one in outcomes if (one.scenario, one.step) == same and one.arm.claims == LOSES]


def headline(outcomes):
    """The arms that lose nothing from the first request to the last, and their
    controls."""
    arms = [one for one in outcomes if one.arm.claims == SAVES and not one.seen.since]
    arms = [one for one in arms if any(control.counted() for control in controls_of(one, outcomes))]
    controls = [one for one in outcomes if one.arm.claims == LOSES and not one.seen.since]
    sent, failed = total(one.judged() for one in arms)
    others, others_failed = total(one.others() for one in arms)
    of, lost = total(one.judged() for one in controls)
    return (
        f"Kubernetes 1.20.2: {sent} requests in {len(arms)} arms, {failed} failed; in their {len(controls)} "
        f"controls {lost} of {of}. From its pool of HTTP/1 connections a step may lose one, in the "
        f"instant in which an idle connection is closed. On kept HTTP/2 connections and gRPC channels, "
        f"where a thousandth may fail: {others_failed} of {others}."
    )


def total(pairs):
    return [thousands(sum(numbers)) for numbers in zip(*pairs)] or ["0", "0"]


def whole(introduction_text, summary_text, outcomes):
    sections = ["\n".join(section(one)) for one in outcomes]
    return "\n".join([PREFACE, introduction_text, "", summary_text, "", "\n\n".join(sections)]) + "\n"


def thousands(number):
    return f"{number:,}"
