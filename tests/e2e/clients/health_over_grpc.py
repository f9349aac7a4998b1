"""Clients of gRPC health checking against the tonic example; see tests/e2e/grpc."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse
PATIENCE = 20  # seconds until something that does not happen has failed
checks = 0


def expect(what, expected, actual):
    global checks
    if expected != actual:
        sys.exit(f"FAILED: {what}: expected {expected!r}, got {actual!r}")
    checks += 1


class Example:
    """The example, until the end of the block."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        environment = {**os.environ, "PORT": "0"}
        self.process = subprocess.Popen(
            [self.program], env=environment, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            found = re.search(r"Serving on http://([\d.:]+\d)", line)
            if found:
                self.address = found.group(1)
                return self
        sys.exit("FAILED: the example ended")

    def flip(self, state):
        url = f"http://{self.address}/demo/storage/{state}"
        request = urllib.request.Request(url, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            expect(url, 200, response.status)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Watch:
    """What a Watch says, as it comes."""

    def __init__(self, stub, service):
        self.statuses = queue.Queue()
        self.call = stub.Watch(health_pb2.HealthCheckRequest(service=service))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for response in self.call:
                self.statuses.put(Status.ServingStatus.Name(response.status))
            self.statuses.put("ended")
        except grpc.RpcError as error:
            self.statuses.put(error.code().name)

    def next(self):
        return self.statuses.get(timeout=PATIENCE)


def say(channel, **options):
    """Calls demo.Greeter/Say; its request and reply have one string each."""
    call = channel.unary_unary(
        "/demo.Greeter/Say",
        request_serializer=lambda name: b"\x0a" + bytes([len(name)]) + name.encode(),
        response_deserializer=lambda reply: reply[2:].decode(),
    )
    return call("world", timeout=PATIENCE, **options)


def main(program):
    with Example(program) as example:
        channel = grpc.insecure_channel(example.address)
        stub = health_pb2_grpc.HealthStub(channel)

        def check(service):
            request = health_pb2.HealthCheckRequest(service=service)
            try:
                status = stub.Check(request, timeout=PATIENCE).status
                return Status.ServingStatus.Name(status)
            except grpc.RpcError as error:
                return error.code().name

        everything = ["", "readiness", "liveness", "startup", "search", "storage"]

        def all_of_them():
            """By Check, and the same by List."""
            response = stub.List(health_pb2.HealthListRequest(), timeout=PATIENCE)
            listed = {name: it.status for name, it in response.statuses.items()}
            expect("the names of a list", sorted([*everything, "index"]), sorted(listed))
            checked = [check(service) for service in everything]
            listed = [Status.ServingStatus.Name(listed[name]) for name in everything]
            expect("a list says what checks say", checked, listed)
            return checked

        on, off = "SERVING", "NOT_SERVING"
        expect("ready", [on, on, on, on, off, on], all_of_them())
        expect("an unknown name", "NOT_FOUND", check("nobody"))

        whole, storage = Watch(stub, ""), Watch(stub, "storage")
        live, nobody = Watch(stub, "liveness"), Watch(stub, "nobody")
        for name, watch, status in [
            ("whole", whole, on),
            ("storage", storage, on),
            ("liveness", live, on),
            ("nobody", nobody, "SERVICE_UNKNOWN"),
        ]:
            expect(f"first status of {name}", status, watch.next())

        # A channel that sends nothing to a server that is not serving.
        config = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": ""},
        }
        balancing = grpc.insecure_channel(
            f"ipv4:{example.address}", options=[("grpc.service_config", json.dumps(config))]
        )
        states = queue.Queue()
        balancing.subscribe(lambda state: states.put(state.name), try_to_connect=True)

        def becomes(wanted):
            seen = []
            while wanted not in seen:
                seen.append(states.get(timeout=PATIENCE))
            expect(f"the channel becomes {wanted}", wanted, seen[-1])

        becomes("READY")
        expect("a call", "hello, world", say(balancing, wait_for_ready=True))

        example.flip("failing")
        expect("it fails", [off, off, on, on, off, off], all_of_them())
        expect("the watch sees it", off, whole.next())
        expect("the subsystem's too", off, storage.next())
        becomes("TRANSIENT_FAILURE")
        try:
            say(balancing)
            sys.exit("FAILED: a call was sent to a server that is not serving")
        except grpc.RpcError as error:
            expect("a call fails", "UNAVAILABLE", error.code().name)
            # The channel did not even try; the gate would have left its mark.
            marked = dict(error.initial_metadata() or ()).get("x-readiness")
            expect("nobody asked the server", None, marked)

        # By its own backoff this client would retry after 10 ms at most; the
        # refusal asks for 1 to 5 seconds.
        policy = {
            "maxAttempts": 2,
            "initialBackoff": "0.01s",
            "maxBackoff": "0.01s",
            "backoffMultiplier": 1,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
        retrying = grpc.insecure_channel(
            example.address, options=[("grpc.service_config", json.dumps(config))]
        )
        begin = time.monotonic()
        try:
            say(retrying)
            sys.exit("FAILED: a call was admitted while failing")
        except grpc.RpcError as error:
            expect("a retried call fails", "UNAVAILABLE", error.code().name)
            refused = dict([*error.initial_metadata(), *error.trailing_metadata()])
            expect("it was refused", "failing", refused.get("x-readiness"))
        waited = time.monotonic() - begin
        expect("the client came back when it was asked to", True, waited >= 1)

        example.flip("ready")
        expect("it recovers", on, whole.next())
        becomes("READY")
        expect("a call", "hello, world", say(balancing, wait_for_ready=True))

        example.process.send_signal(signal.SIGTERM)
        expect("it drains", off, whole.next())
        becomes("TRANSIENT_FAILURE")
        expect("draining", [off, off, on, on, off, off], all_of_them())
        # Whoever does not check its health is still served.
        expect("a call while draining", "hello, world", say(channel))
        # Ends the delay; then the watches end, and the process.
        example.process.send_signal(signal.SIGINT)
        for name, watch in [("whole", whole), ("liveness", live), ("nobody", nobody)]:
            expect(f"the watch of {name} ends", "ended", watch.next())
        expect("the exit status", 0, example.process.wait(timeout=PATIENCE))
    print(f"{checks} answers as promised")


main(sys.argv[1])
