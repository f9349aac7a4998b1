"""Runs the scenarios in the namespaces of the node, and says what came out; see
tests/e2e/kubernetes/run."""

import argparse
import concurrent.futures
import dataclasses
import pathlib
import sys
import threading
import time
import traceback

printing = threading.Lock()

PREFACE = """\
# The shipped manifests on Kubernetes 1.20.2

Made by `tests/e2e/kubernetes/run --full`: a node of its own (etcd, kube-apiserver,
controllers, scheduler, kubelet, kube-proxy with iptables, containerd) that runs the
image of `examples/deploy/docker/Dockerfile` by the manifests of
`examples/deploy/kubernetes`. Requests come from beyond the node, at a fixed rate
whatever becomes of those before them, and are never sent twice: 35 % over HTTP/1 on a
connection each, 30 % over HTTP/1 from a pool, 20 % on 20 HTTP/2 connections, and 15 %
are gRPC health checks on 10 channels; 2 % of the HTTP requests take two seconds. A
failure is a request that was not answered with 2xx, in full, by a handler.
"""

NOT_PROVED = """\
Not proved here: probes by gRPC (`grpc-probes.yaml` needs Kubernetes 1.24), that
kube-proxy falls back to terminating endpoints (KEP-1669, 1.26), and NetworkPolicy (of
`admin-port.yaml`), which these network plugins ignore.
"""


def thousands(number):
    return f"{number:,}"


@dataclasses.dataclass
class Outcome:
    scenario: str
    arm: object
    step: object
    client: object
    seen: object
    wrong: list

    def counted(self):
        """The failures that the arm's claim is about."""
        failed = self.client.failed(self.seen.since)
        transports = self.seen.transports
        return [one for one in failed if not transports or one["transport"] in transports]

    def lines(self):
        client = self.client
        changes = [change.words for change in self.arm.changes]
        yield f"### {self.scenario}, {self.arm.name}: {self.step.__doc__}"
        yield ""
        yield f"{self.arm.file}, {self.arm.replicas} replicas{''.join(', ' + words for words in changes)}."
        yield ""
        for fact in self.seen.facts:
            yield f"- {fact}"
        failed = len(client.failures)
        yield f"- clients: {thousands(client.sent)} requests, {thousands(failed)} failed ({client.causes()})"
        yield f"- {client.by_transport()}"
        if self.seen.since:
            what = " and ".join(sorted(self.seen.transports or ["all transports"]))
            yield f"- once the pod had left and kube-proxy knew ({what}): {len(self.counted())} failed"
        share, of = client.largest_share()
        if of:
            yield f"- HTTP/2 connections of one pod that left within the same half second: {share} % of {of}"
        at_end = ", ".join(str(count) for count in sorted(client.report["connections"].values()))
        median, p99, largest = client.report["lag_ms"]
        yield f"- HTTP/2 connections per pod at the end: {at_end}"
        yield f"- requests left late by {median:.1f} ms (median), {p99:.1f} (p99), {largest:.1f} (largest)"
        for one in self.wrong:
            yield f"- **WRONG**: {one}"


def judge(arm, client, seen):
    """What is wrong with what the clients saw."""
    from scenarios import LOSES, SAVES

    failed = client.failed(seen.since)
    counted = [one for one in failed if not seen.transports or one["transport"] in seen.transports]
    wrong = []
    if any(one["sent"] == 0 for one in client.transports.values()) or len(client.transports) < 4:
        wrong.append(f"not every transport sent: {client.by_transport()}")
    if arm.claims == LOSES:
        if not counted:
            wrong.append("the control lost nothing, so its arm proves nothing")
        return wrong
    if arm.claims == SAVES and counted or seen.since and counted:
        wrong.append(f"{len(counted)} failed that must not: " + "; ".join(client.examples()))
    if seen.causes:
        others = [one for one in client.failures if one["cause"] not in seen.causes]
        if others:
            wrong.append(f"{len(others)} failed otherwise: {others[:3]}")
    return wrong


def run_arm(scenario, arm, given, rounds, rate):
    """The outcomes of the arm's steps; a step that goes wrong ends it."""
    from app import App
    from manifest import replicas

    app = App(f"{scenario.name}-{arm.name}", arm.file, [*arm.changes], rate, given.load)
    replicas(arm.replicas).apply(app.objects)
    app.fails = arm.fails
    outcomes = []
    try:
        app.deploy()
        for step in arm.steps:
            started = time.monotonic()
            load = app.load()
            seen = step(app, rounds)
            client = load.stop()
            outcome = Outcome(scenario.name, arm, step, client, seen, judge(arm, client, seen))
            outcomes.append(outcome)
            with printing:
                print("\n".join(outcome.lines()), f"\n  ({time.monotonic() - started:.0f} s)\n", flush=True)
    except Exception as error:
        with printing:
            traceback.print_exception(error)
            sys.stderr.flush()
        raise
    finally:
        app.remove()
    return outcomes


def run(scenario, given):
    rounds = 3 if given.full else 1
    rate = given.rate // len(scenario.arms)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(run_arm, scenario, arm, given, rounds, rate) for arm in scenario.arms]
        outcomes, broken = [], []
        for arm, one in zip(scenario.arms, running):
            try:
                outcomes += one.result()
            except Exception as error:
                broken.append(f"{scenario.name}, {arm.name}: {type(error).__name__}: {error}")
    return outcomes, broken


def table(outcomes):
    from scenarios import LOSES, SAVES, STATES

    yield "| what happens | deployment | requests | failed | |"
    yield "|---|---|---:|---:|---|"
    for one in outcomes:
        counted, failed = len(one.counted()), len(one.client.failures)
        if one.arm.claims == SAVES:
            controls = [
                other
                for other in outcomes
                if (other.scenario, other.step, other.arm.claims) == (one.scenario, one.step, LOSES)
            ]
            lost = sum(len(other.counted()) for other in controls)
            proved = lost and not one.wrong
            verdict = f"proved: its control lost {thousands(lost)}" if proved else "NOT PROVED"
        else:
            verdict = one.arm.claims if one.arm.claims == LOSES else ""
        if one.seen.since and one.arm.claims != LOSES:
            verdict = f"{counted} once it had left; {verdict}".rstrip("; ")
        what = f"{one.scenario}: {one.step.__doc__}"
        yield f"| {what} | {one.arm.name} | {thousands(one.client.sent)} | {thousands(failed)} | {verdict} |"


def headline(outcomes):
    from scenarios import LOSES, SAVES

    arms = [one for one in outcomes if one.arm.claims == SAVES and not one.seen.since]
    controls = [one for one in outcomes if one.arm.claims == LOSES]
    return (
        f"Kubernetes 1.20.2: {thousands(sum(one.client.sent for one in arms))} requests in {len(arms)} arms, "
        f"{thousands(sum(len(one.client.failures) for one in arms))} failed; "
        f"{len(controls)} controls: {thousands(sum(len(one.counted()) for one in controls))} of "
        f"{thousands(sum(one.client.sent for one in controls))}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=pathlib.Path, help="the program that sends requests")
    parser.add_argument("--report", type=pathlib.Path, help="the file for the report")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rate", type=int, default=300, help="requests per second, of all arms together")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.list:
        # Only the names, which need no more than the standard library.
        return list_scenarios()

    import manifest
    from scenarios import all_scenarios

    chosen = [one for one in all_scenarios() if not given.names or any(name in one.name for name in given.names)]
    if not chosen:
        sys.exit("no scenario has such a name; --list names them")
    for file in ("deployment.yaml", "admin-port.yaml"):
        print(f"{file} as shipped, but for 1.20: {', '.join(manifest.differences(file)) or 'nothing'}")
    print(f"In every arm: {manifest.says_its_pod().words}, and the number of replicas.\n")
    outcomes, broken = [], []
    for scenario in chosen:
        print(f"## {scenario.name}: {scenario.about}\n", flush=True)
        more, bad = run(scenario, given)
        outcomes += more
        broken += bad
    summary = "\n".join([*table(outcomes), "", headline(outcomes), "", NOT_PROVED])
    print(summary)
    if given.report:
        details = "\n\n".join("\n".join(one.lines()) for one in outcomes)
        given.report.write_text(f"{PREFACE}\n{summary}\n{details}\n")
    wrong = broken + [f"{one.scenario}, {one.arm.name}: {each}" for one in outcomes for each in one.wrong]
    for one in wrong:
        print(f"WRONG: {one}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
