"""What is done to a deployment under load, and what has to follow from it. Each
step returns what it saw; a difference from what has to be is an error."""

import time

import manifest
from api import Failed, until

# Seconds from the change of kube-proxy's rules to the first request that has to be
# answered elsewhere: a packet that was on its way has arrived by then.
SETTLES = 0.5
FRESH = "HTTP/1, keep-alive off"
# A drain must not lose any of these, but for main.AT_CLOSE. On kept HTTP/2 connections and gRPC channels a
# thousandth may fail (main.KEPT): hyper's client sometimes writes a request after it has
# acknowledged a GOAWAY.
JUDGED_IN_DRAINS = {FRESH, "HTTP/1, keep-alive on"}


class Seen:
    """Facts, and which failures must not be: those of requests from the time `since`
    on, over the transports named, or all. If causes are named, no request over these
    transports fails for another one at any time, and few over the others. Of a drain
    there is no cause."""

    def __init__(self, facts, since=0.0, transports=None, causes=None):
        self.facts, self.since, self.transports, self.causes = facts, since, transports, causes
        self.drained = transports is JUDGED_IN_DRAINS
        if self.drained:
            self.causes = set()


def after(at, since):
    return f"{at - since:.1f} s"


def drains(app):
    return {"name": "DRAIN_SECONDS", "value": "0"} not in manifest.container(app.objects)["env"]


def no_restarts(app):
    for pod in app.live():
        if pod.restarts:
            raise Failed(f"{pod.name} was restarted {pod.restarts} times")
    return "kubelet: no container restarted"


def hook_runs(app):
    """That the drain is the hook's doing: SIGTERM comes when the hook has ended."""
    if not app.processes("readiness"):
        raise Failed(f"a pod drains, and no hook runs: {app.events('FailedPreStopHook')}")
    return "kubelet: the hook runs while the pod drains, so SIGTERM has not come yet"


def restart(app, rounds):
    """kubectl rollout restart"""
    facts, since = [], time.time()
    for number in range(rounds):
        app.kubectl("rollout", "restart", f"deployment/{app.deployment}")
        if drains(app) and number == 0:
            leaving = until("a pod is told to end", lambda: [pod for pod in app.pods() if pod.terminating])
            facts.append(app.expect_row("Draining", leaving[0], patience=4))
            if "lifecycle" in manifest.container(app.objects):
                facts.append(hook_runs(app))
        app.rolled_out()
    fewest = app.fewest_endpoints(since)
    if fewest < 3:
        raise Failed(f"only {fewest} endpoints at a time, though none may be missing")
    facts += [f"endpoints: never fewer than {fewest} of 3", no_restarts(app)]
    if failed := app.events("FailedPreStopHook"):
        raise Failed(f"hooks failed: {failed}")
    return Seen(facts, transports=JUDGED_IN_DRAINS)


def scale(app, rounds):
    """scaled from 3 to 1 and back"""
    since = time.time()
    for _ in range(rounds):
        for count in (1, 3):
            app.kubectl("scale", f"deployment/{app.deployment}", f"--replicas={count}")
            app.rolled_out()
    facts = [f"endpoints: {app.fewest_endpoints(since)} at the fewest", no_restarts(app)]
    return Seen(facts, transports=JUDGED_IN_DRAINS)


def evict(app, _):
    """two pods evicted, one as soon as the other"""
    since = time.time()
    first, second, _ = app.live()
    status = app.evict(first.name)
    if status != 201:
        raise Failed(f"the first eviction: {status}, not 201")
    refused = app.evict(second.name)
    if refused != 429:
        raise Failed(f"the second eviction, at once: {refused}, not 429")
    until("the second eviction is let through", lambda: app.evict(second.name) == 201)
    let_through = time.time()
    ready = {pod.name for pod in app.live() if pod.ready} - {second.name}
    if len(ready) < 2:
        raise Failed(f"it was let through while only {len(ready)} others were ready")
    app.rolled_out()
    fewest = app.fewest_endpoints(since)
    if fewest < 2:
        raise Failed(f"only {fewest} endpoints at a time, though one of 3 may be missing")
    return Seen(
        [
            f"Eviction API: 201; the second 429 at once, 201 after {after(let_through, since)}, "
            "when the replacement was ready",
            f"endpoints: never fewer than {fewest} of 3",
            no_restarts(app),
        ],
        transports=JUDGED_IN_DRAINS,
    )


def kill(app, _):
    """the process of one pod killed by SIGKILL"""
    pod, since = app.live()[0], time.time()
    app.kill(pod.name)
    left = app.left_endpoints(pod.name, since)
    left_proxy = app.left_proxy(pod)
    until(f"{pod.name} was restarted", lambda: app.pod(pod.name).restarts == 1)
    app.settled()
    joined = app.joined_endpoints(pod.name, left)
    if app.pod(pod.name).restarts != 1:
        raise Failed(f"{pod.name} was restarted {app.pod(pod.name).restarts} times, not once")
    return Seen(
        [
            "truth table: no row, since the process says nothing",
            "kubelet: one container restarted, once",
            f"endpoints: without the pod after {after(left, since)}, with it again after {after(joined, since)}",
        ],
        left_proxy + SETTLES,
        # A connection that was kept or made while kube-proxy's rules still had the pod
        # stays with it, and its container starts again.
        {FRESH},
    )


def one_fails(app, _):
    """storage, which is required, fails in one pod for 40 s"""
    pod, since = app.live()[0], time.time()
    app.flip(pod, "storage", "failing")
    facts = [app.expect_row("Failing", pod)]
    if manifest.container(app.objects)["readinessProbe"]["httpGet"]["path"] == "/readyz":
        left = app.left_endpoints(pod.name, since)
        left_proxy = app.left_proxy(pod)
        facts.append(f"endpoints: without the pod after {after(left, since)}")
    else:
        left_proxy = since + 5
    # Longer than liveness needs to restart what it finds dead.
    time.sleep(max(0, since + 40 - time.time()))
    seen = app.pod(pod.name)
    listed = pod.name in app.endpoints()
    facts += [f"kubelet: Ready {seen.ready}, in the endpoints {listed}", no_restarts(app)]
    facts += [f"kubelet: {text}" for text in app.events("Unhealthy", pod.name) if text.startswith("Readiness")]
    app.flip(pod, "storage", "ready")
    app.settled()
    # Connections that were open before stay with the pod, whatever the endpoints
    # are, and are refused there.
    return Seen(facts, left_proxy + SETTLES, {FRESH}, {"503 by gate (failing)"})


def all_fail(app, _):
    """one subsystem fails in all pods for 10 s"""
    pods, since = app.live(), time.time()
    subsystem, row = app.fails
    for pod in pods:
        app.flip(pod, subsystem, "failing")
    facts = [app.expect_row(row, pod) for pod in pods][:1]
    time.sleep(10)
    endpoints = app.endpoints()
    expected = 3 if row == "Degraded" else 0
    if len(endpoints) != expected:
        raise Failed(f"{len(endpoints)} endpoints, not {expected}")
    facts += [f"endpoints: {len(endpoints)} of 3", no_restarts(app)]
    for pod in pods:
        app.flip(pod, subsystem, "ready")
    app.settled()
    facts.append(f"ready again after {after(time.time(), since)}")
    return Seen(facts)


def vital_dies(app, _):
    """worker, which is vital, dies in one pod"""
    pod, since = app.live()[0], time.time()
    app.flip(pod, "worker", "dead")
    facts = [app.expect_row("vital dead", pod)]
    left = app.left_endpoints(pod.name, since)
    left_proxy = app.left_proxy(pod)
    until("the pod's container is restarted", lambda: app.pod(pod.name).restarts > 0)
    restarted = time.time()
    app.settled()
    # A second restart would come after as long.
    time.sleep(5)
    restarts = {each.name: each.restarts for each in app.live()}
    if restarts != {name: int(name == pod.name) for name in restarts}:
        raise Failed(f"restarts: {restarts}, not one of {pod.name}")
    last_words = app.pod(pod.name).last_words
    if "; liveness red: worker dead (gave up)" not in last_words:
        raise Failed(f"lastState.terminated.message is {last_words!r}")
    killing = app.events("Killing", pod.name)
    facts += [
        f"endpoints: without the pod after {after(left, since)}",
        f"lastState.terminated.message: {last_words.strip()}",
        f"kubelet: restarted after {after(restarted, since)}, once, and no other",
        *(f"kubelet: {text}" for text in killing if "liveness" in text),
    ]
    return Seen(facts, left_proxy + SETTLES, {FRESH}, {"503 by gate (failing)"})


def slow_start(app, _):
    """a third pod that needs 15 s to start"""
    old = {pod.name for pod in app.live()}
    since = time.time()
    app.kubectl("scale", f"deployment/{app.deployment}", "--replicas=3")
    has_address = lambda: [pod for pod in app.live() if pod.name not in old and pod.address]
    (pod,) = until("the third pod has an address", has_address)
    facts = [app.expect_row("Starting", pod, patience=10)]
    app.kubectl("rollout", "status", f"deployment/{app.deployment}", "--timeout=240s")
    joined = app.joined_endpoints(pod.name, since)
    app.expect_row("Ready", pod, patience=60)
    app.settled()
    facts.append(f"endpoints: with the pod after {after(joined, since)}")
    facts += [f"kubelet: {count} × {text}" for text, count in app.events("Unhealthy", pod.name).items()]
    facts.append(no_restarts(app))
    return Seen(facts)
