"""The shipped files for Kubernetes: against its schemas, and as a kubelet uses
them."""

import yaml
from kubernetes_validate import validate

from common import FILES, expect, fail
from states import compare, fits, over_grpc, over_http

VERSION = "1.37"


def check(program, folder):
    for file in sorted((FILES / "kubernetes").glob("*.yaml")):
        objects = list(yaml.safe_load_all(file.read_text()))
        for one in objects:
            try:
                validate(one, VERSION, strict=True)
            except Exception as error:  # each kind of it says what is wrong
                fail(f"{file.name}: {one.get('kind')}: {error}")
        kinds = {one["kind"]: one for one in objects}
        deployment, service = kinds["Deployment"], kinds["Service"]
        serves_who_is_meant(file.name, deployment, objects)
        pod(file.name, deployment["spec"]["template"]["spec"], service, program, folder)


def serves_who_is_meant(name, deployment, objects):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for one in objects:
        if one["kind"] == "Service":
            selector = one["spec"]["selector"]
        else:
            spec = one["spec"]
            selector = (spec.get("selector") or spec.get("podSelector"))["matchLabels"]
        expect(f"{name}: whom {one['kind']} selects", labels, selector)
    rollout = deployment["spec"]["strategy"]["rollingUpdate"]
    expect(f"{name}: pods missing in a rollout", 0, rollout["maxUnavailable"])


def pod(name, spec, service, program, folder):
    expect(f"{name}: second opinions", None, spec.get("readinessGates"))
    (container,) = spec["containers"]
    expect(f"{name}: hooks", None, container.get("lifecycle"))
    environment = {one["name"]: one["value"] for one in container["env"]}
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}

    (exposed,) = service["spec"]["ports"]
    serving = int(environment["LISTEN"].rpartition(":")[2])
    expect(f"{name}: the port of the service", serving, ports.get(exposed["targetPort"]))

    probes = {}
    for which in ("startup", "readiness", "liveness"):
        probe = container[f"{which}Probe"]
        timeout = probe.get("timeoutSeconds", 1)
        if "grpc" in probe:
            probes[which] = over_grpc(probe["grpc"]["port"], probe["grpc"].get("service", ""), timeout)
            continue
        port = probe["httpGet"]["port"]
        if port not in ports:
            fail(f"{name}: {which} asks at {port}, which no port is called")
        # What is in front of this port in a pod, the service has not.
        if port == "https":
            fail(f"{name}: a kubelet has no certificate for {port}")
        if port == "admin" and exposed["targetPort"] == "admin":
            fail(f"{name}: the service shows the admin listener to everybody")
        probes[which] = over_http(ports[port], probe["httpGet"]["path"], timeout)

    readiness, startup = container["readinessProbe"], container["startupProbe"]
    # The last good answer was a period ago at most; then they have to fail.
    notices = readiness["periodSeconds"] * readiness["failureThreshold"] + 1
    fits(name, environment, spec["terminationGracePeriodSeconds"], notices)
    if startup["periodSeconds"] * startup["failureThreshold"] < 30:
        fail(f"{name}: a start may take less than 30 s")
    compare(name, program, folder, environment, probes)
