"""One deployment of the shipped manifest in a namespace of its own, under load."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import yaml

import manifest
import truth
from api import Failed, Watch, ask, call, get, kubectl, until


class Pod:
    def __init__(self, one):
        status = one.get("status", {})
        self.name = one["metadata"]["name"]
        self.address = status.get("podIP")
        self.terminating = "deletionTimestamp" in one["metadata"]
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        self.ready = conditions.get("Ready") == "True"
        self.restarts = sum(each["restartCount"] for each in status.get("containerStatuses", []))
        ended = [each.get("lastState", {}).get("terminated") for each in status.get("containerStatuses", [])]
        # What the container that ended last wrote into its termination file.
        self.last_words = "".join(each.get("message", "") for each in ended if each)


class App:
    def __init__(self, name, file, changes, rate, load_program):
        self.name, self.rate, self.load_program = name, rate, load_program
        self.loads = 0
        self.objects = manifest.changed(manifest.shipped(file), [manifest.says_its_pod(), *changes])
        names = {one["kind"]: one["metadata"]["name"] for one in self.objects}
        self.deployment, self.service = names["Deployment"], names["Service"]
        ports = {one["name"]: one["containerPort"] for one in manifest.container(self.objects)["ports"]}
        self.port = ports.get("http") or ports["https"]
        self.probe_port = ports.get("admin", self.port)

    def path(self, kind, group="api/v1"):
        return f"/{group}/namespaces/{self.name}/{kind}"

    def deploy(self):
        kubectl("create", "namespace", self.name)
        self.endpoints_seen = Watch(self.path("endpoints"))
        # Without the schema, which takes 20 s to ask for.
        self.kubectl("apply", "--validate=false", "-f", "-", stdin=yaml.safe_dump_all(self.objects))
        self.rolled_out()

    def write_state(self, folder):
        """What a reader needs to find out why something went wrong."""
        kinds = "deployments,pods,endpoints,events"
        text = self.kubectl("get", kinds, "--output=wide") + self.kubectl("describe", "pods")
        (folder / f"{self.name}.txt").write_text(text)

    def remove(self):
        self.endpoints_seen.stop()
        self.kubectl("delete", "deployment", self.deployment, "--wait=false")

    def kubectl(self, *arguments, stdin=None):
        return kubectl("--namespace", self.name, *arguments, stdin=stdin)

    def rolled_out(self):
        """Until all pods are new and ready, all others have ended, and the
        endpoints are the pods."""
        target = f"deployment/{self.deployment}"
        self.kubectl("rollout", "status", target, "--timeout=240s")
        self.settled()

    def settled(self):
        def holds():
            spec = get(self.path(f"deployments/{self.deployment}", "apis/apps/v1"))["spec"]
            pods = self.live()
            if len(pods) != spec["replicas"] or not all(pod.ready for pod in pods):
                return False
            # Kubernetes 1.20 shows pods for up to a minute after their processes.
            if len(self.processes()) != spec["replicas"]:
                return False
            if self.endpoints() != {pod.name for pod in pods}:
                return False
            return self.proxied() == {pod.address for pod in pods}

        until(f"{self.name}: pods, processes, endpoints and rules are those wanted", holds)

    def pods(self):
        return [Pod(one) for one in get(self.path("pods"))["items"]]

    def live(self):
        return [pod for pod in self.pods() if not pod.terminating]

    def pod(self, name):
        return next((pod for pod in self.pods() if pod.name == name), None)

    def processes(self, command="app"):
        """The process of this name of each pod that has one."""
        found = {}
        names = {f"NAME={pod.name}".encode(): pod.name for pod in self.pods()}
        for folder in pathlib.Path("/proc").iterdir():
            try:
                if (folder / "comm").read_text() == f"{command}\n":
                    for variable in (folder / "environ").read_bytes().split(b"\0"):
                        if variable in names:
                            found[names[variable]] = int(folder.name)
            except OSError:
                pass  # it is none, or it has ended
        return found

    def kill(self, pod):
        os.kill(self.processes()[pod], signal.SIGKILL)

    def endpoints(self):
        return addresses(get(self.path(f"endpoints/{self.service}")))

    def proxied(self):
        """The addresses that kube-proxy's rules send to."""
        rules = subprocess.run(["iptables-save", "-t", "nat"], stdout=subprocess.PIPE, text=True, check=True)
        own = [line for line in rules.stdout.splitlines() if f'"{self.name}/{self.service}' in line]
        return set(re.findall(r"--to-destination ([0-9.]+):", "\n".join(own)))

    def left_proxy(self, pod):
        """When kube-proxy's rules were seen without the pod."""
        until(f"{pod.name} leaves the rules of kube-proxy", lambda: pod.address not in self.proxied())
        return time.time()

    def left_endpoints(self, pod, since):
        """When the endpoints were without the pod first."""

        def when():
            for at, _, one in list(self.endpoints_seen.seen):
                if at >= since and pod not in addresses(one):
                    return at

        return until(f"{pod} leaves the endpoints", when)

    def joined_endpoints(self, pod, since):
        def when():
            for at, _, one in list(self.endpoints_seen.seen):
                if at >= since and pod in addresses(one):
                    return at

        return until(f"{pod} joins the endpoints", when)

    def fewest_endpoints(self, since):
        """The smallest number of endpoints that were ready at a time."""
        seen = [len(addresses(one)) for at, _, one in list(self.endpoints_seen.seen) if at >= since]
        return min([*seen, len(self.endpoints())])

    def events(self, reason, pod=None):
        """How often the kubelet or a controller said it, by its words; of all pods
        or of one."""
        counted = {}
        for one in get(self.path("events"))["items"]:
            if one["reason"] == reason and pod in (None, one["involvedObject"]["name"]):
                text = one["message"].strip().partition("\n")[0]
                counted[text] = counted.get(text, 0) + (one.get("count") or 1)
        return counted

    def timeouts(self):
        """How many probes of the kubelet got no answer in time. A service that drains
        or fails answers; this comes of a busy machine."""
        return sum(count for text, count in self.events("Unhealthy").items() if "Client.Timeout" in text)

    def evict(self, pod):
        """The status that the Eviction API answers with."""
        body = {
            "apiVersion": "policy/v1beta1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.name},
        }
        return call("POST", self.path(f"pods/{pod}/eviction"), body)[0]

    def flip(self, pod, subsystem, state):
        path = f"/demo/{subsystem}/{state}"
        status, body = ask(pod.address, self.port, path, "POST")
        if status != 200:
            raise Failed(f"{pod.name}: POST {path}: {status} {body}")

    def answers(self, pod):
        """What the pod answers to probes and to traffic, asked past the service."""
        probes = {path: ask(pod.address, self.probe_port, path)[0] for path in ("/startupz", "/livez", "/readyz")}
        return {**probes, "traffic": ask(pod.address, self.port, "/")[0]}

    def expect_row(self, name, pod, patience=0):
        """That the pod answers as the row of the truth table says, at once or within
        some seconds; the words for it."""
        row, deadline = truth.row(name, self.probe_port != self.port), time.monotonic() + patience
        while (answers := self.answers(pod)) != row:
            if time.monotonic() >= deadline:
                raise Failed(f"{pod.name}: {name}: expected {row}, got {answers}")
            time.sleep(0.1)
        return f"truth table, {name}: " + ", ".join(f"{path} {status}" for path, status in answers.items())

    def load(self):
        self.loads += 1
        return Load(self)


def addresses(endpoints):
    """The pods that are ready according to an Endpoints object."""
    return {
        address["targetRef"]["name"]
        for subset in endpoints.get("subsets") or []
        for address in subset.get("addresses") or []
    }


class Load:
    """Requests at a fixed rate from beyond the node, until `stop`."""

    def __init__(self, app):
        service = get(app.path(f"services/{app.service}"))["spec"]
        address = f"{service['clusterIP']}:{service['ports'][0]['port']}"
        config = {
            "address": address,
            "rate": app.rate,
            "seed": app.loads,
            "slow_percent": 2,
            "http2_connections": 20,
            "grpc_channels": 10,
        }
        self.process = subprocess.Popen(
            ["nsenter", "--net=/run/netns/client", app.load_program, "load", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Connections open, and every transport has sent.
        time.sleep(2)

    def stop(self):
        time.sleep(2)
        output, _ = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise Failed(f"the load ended with {self.process.returncode}")
        return Client(json.loads(output))


class Client:
    """What the clients of one load saw, or of several, one after the other."""

    def __init__(self, report):
        self.reports = [report]
        self.failures = report["failures"]
        for one in self.failures:
            one["at"] = report["started"] + one["due"]

    def __add__(self, other):
        both = Client.__new__(Client)
        both.reports = self.reports + other.reports
        both.failures = self.failures + other.failures
        return both

    def counts(self, key):
        """Sums over the reports, by name."""
        sums = {}
        for report in self.reports:
            for name, transport in report["transports"].items():
                sums[name] = sums.get(name, 0) + transport[key]
        return sums

    def sent(self, transports=None):
        """Requests over these transports, or all."""
        sent = self.counts("sent").items()
        return sum(count for name, count in sent if not transports or name in transports)

    def failed(self, since, transports):
        """Failures of requests that were due from then on, over these transports
        or all."""
        return [
            one
            for one in self.failures
            if one["at"] >= since and (not transports or one["transport"] in transports)
        ]

    def by_transport(self):
        failed = self.counts("failed")
        return ", ".join(f"{name}: {failed[name]} of {sent}" for name, sent in self.counts("sent").items())

    def causes(self):
        causes = {}
        for one in self.failures:
            causes[one["cause"]] = causes.get(one["cause"], 0) + 1
        return ", ".join(f"{count} × {cause}" for cause, count in causes.items())

    def examples(self, failures):
        """The first of these failures in words; with seconds since the load began."""
        began = self.reports[0]["started"]
        return "; ".join(
            f"{one['at'] - began:.2f} s {one['transport']}: {one['cause']} after {one['took']:.3f} s: {one['detail']}"
            for one in failures[:8]
        )

    def largest_share(self):
        """Of the HTTP/2 connections that left a pod, the largest share that did so
        within half a second, in percent, and of how many; of the worst pod."""
        pods = {}
        for report in self.reports:
            for one in report["departures"]:
                if one["pod"]:
                    pods.setdefault(one["pod"], []).append(report["started"] + one["at"])
        worst = (0, 0)
        for times in pods.values():
            # Of fewer, most end together by chance.
            if len(times) >= 10:
                most = max(sum(first <= at < first + 0.5 for at in times) for first in times)
                worst = max(worst, (round(100 * most / len(times)), len(times)))
        return worst
