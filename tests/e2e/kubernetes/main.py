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

import manifest
import report
from api import Failed
from scenarios import LOSES, all_scenarios

# The largest share of a draining pod's HTTP/2 connections, in percent, that may end within
# half a second. They retire over 60 % of the delay: 33 to 50 % were seen. Without that,
# all end at once.
LARGEST_SHARE = 75
# The largest share of requests that a drain may lose on kept HTTP/2 connections and gRPC
# channels.
KEPT = 1 / 1000
# How many requests the drains of a step may lose on the HTTP/1 connections of a pool. HTTP/1
# has no message for "send no more requests": a client may send one in the instant in which
# its idle connection is closed (RFC 9112, section 9.5), the likelier the busier the machine is.
AT_CLOSE = 1
# How often a control is hurt until it has lost something.
ATTEMPTS = 5

printing = threading.Lock()


@dataclasses.dataclass
class Outcome:
    scenario: str
    arm: object
    step: object
    client: object
    seen: object
    seconds: float
    wrong: list

    def counted(self):
        """The failures that the arm's claim is about."""
        return self.client.failed(self.seen.since, self.seen.transports)

    def judged(self):
        """How many requests were sent over the transports that are judged, and how
        many of these failed, at any time."""
        transports = self.seen.transports
        return self.client.sent(transports), len(self.client.failed(0.0, transports))

    def others(self):
        """The same over the other transports."""
        sent, failed = self.judged()
        return self.client.sent() - sent, len(self.client.failures) - failed


def judge(arm, client, seen):
    """What is wrong with what the clients saw."""
    counted, wrong = client.failed(seen.since, seen.transports), []
    if len(client.counts("sent")) != 4:
        wrong.append(f"not every transport sent: {client.by_transport()}")
    if arm.claims == LOSES:
        if not counted:
            wrong.append("the control lost nothing, so its arm proves nothing")
        return wrong
    at_close = [one for one in counted if seen.drained and is_at_close(one)]
    if len(at_close) <= AT_CLOSE:
        counted = [one for one in counted if one not in at_close]
    if counted:
        since = f" after {seen.since - client.reports[0]['started']:.2f} s" if seen.since else ""
        wrong.append(f"{len(counted)} failed{since} that must not: {client.examples(counted)}")
    if seen.causes is None:
        return wrong
    share, connections = client.largest_share()
    if seen.drained and share > LARGEST_SHARE:
        wrong.append(f"{share} % of {connections} HTTP/2 connections ended within half a second")
    told = counted + at_close
    others = [one for one in client.failures if one["cause"] not in seen.causes and one not in told]
    if fresh := [one for one in others if one["transport"] in seen.transports]:
        wrong.append(f"{len(fresh)} failed for other causes: {client.examples(fresh)}")
    sent = client.sent() - client.sent(seen.transports)
    kept = [one for one in others if one["transport"] not in seen.transports]
    if len(kept) > max(1, sent * KEPT):
        wrong.append(f"{len(kept)} of {sent} failed on kept connections: {client.examples(kept)}")
    return wrong


def is_at_close(failure):
    """Whether it looks like the close of an idle connection of a pool: what is cut off in a
    handler was sent longer ago, if it was slow."""
    of_pool = failure["transport"] == "HTTP/1, keep-alive on"
    return of_pool and failure["cause"] == "closed unanswered" and failure["took"] < 1


def hurt(app, arm, step, rounds):
    """What the clients saw of the step, and what else was seen. A control is hurt
    again until it has lost something: an instant may be missed."""
    client = None
    for _ in range(ATTEMPTS if arm.claims == LOSES else 1):
        load = app.load()
        seen = step(app, rounds)
        stopped = load.stop()
        client = client + stopped if client else stopped
        if stopped.failed(seen.since, seen.transports):
            break
    return client, seen


def run_arm(scenario, arm, given, rounds):
    """The outcomes of the arm's steps; a step that goes wrong ends it."""
    from app import App

    changes = [manifest.replicas(arm.replicas), *arm.changes]
    app = App(f"{scenario.name}-{arm.name}", arm.file, changes, arm.rate, given.load)
    app.fails = arm.fails
    outcomes = []
    try:
        app.deploy()
        for step in arm.steps:
            started = time.monotonic()
            client, seen = hurt(app, arm, step, rounds)
            took = time.monotonic() - started
            if timeouts := app.timeouts():
                seen.facts.append(f"kubelet: {timeouts} probes timed out, as on a busy machine")
            outcome = Outcome(scenario.name, arm, step, client, seen, took, judge(arm, client, seen))
            outcomes.append(outcome)
            with printing:
                print("\n".join(report.section(outcome)), "\n", flush=True)
    except Failed as error:
        app.write_state(given.report.parent)
        raise Failed(f"{error} (probes that timed out, as on a busy machine: {app.timeouts()})") from error
    finally:
        app.remove()
    return outcomes


def run(scenario, given):
    """The outcomes, and what could not be finished."""
    outcomes, broken = [], []
    # Controls are as large as ever.
    rounds = {arm.name: 3 if given.full and arm.claims != LOSES else 1 for arm in scenario.arms}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {arm.name: pool.submit(run_arm, scenario, arm, given, rounds[arm.name]) for arm in scenario.arms}
        for name, one in running.items():
            try:
                outcomes += one.result()
            except Failed as error:
                broken.append(f"{scenario.name}, {name}: {error}")
            except Exception as error:
                traceback.print_exc()
                broken.append(f"{scenario.name}, {name}: {error!r}")
    return outcomes, broken


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=pathlib.Path, help="the program that sends requests")
    parser.add_argument("--report", type=pathlib.Path, help="the file for the report")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--list", action="store_true", help="only name the scenarios")
    parser.add_argument("names", nargs="*", help="only scenarios whose names contain one")
    given = parser.parse_args()
    if not given.list and not (given.load and given.report):
        parser.error("--load and --report are needed")
    return given


def main():
    given = parse()
    scenarios = [one for one in all_scenarios() if not given.names or any(name in one.name for name in given.names)]
    if not scenarios:
        sys.exit("no scenario has such a name; --list names them")
    if given.list:
        for one in scenarios:
            print(f"{one.name}: {one.about} ({', '.join(arm.name for arm in one.arms)})")
        return
    introduction = "\n".join(report.introduction({arm.file for one in scenarios for arm in one.arms}))
    print(introduction, "\n", flush=True)
    outcomes, wrong = [], []
    for scenario in scenarios:
        print(f"## {scenario.name}: {scenario.about}\n", flush=True)
        more, broken = run(scenario, given)
        outcomes += more
        wrong += broken
        wrong += [f"{scenario.name}, {one.arm.name}: {each}" for one in more for each in one.wrong]
    summary = "\n".join(report.summary(outcomes))
    print(summary)
    given.report.write_text(report.whole(introduction, summary, outcomes))
    for one in wrong:
        print(f"WRONG: {one}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
