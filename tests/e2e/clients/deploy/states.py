"""Asks as an orchestrator does, in every state that the service can be in, and
compares the answers with what each probe is for."""

import http.client
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common import Replica, becomes, expect, fail, status

# A kubelet asks at the address of the pod, which is not the one that a listener
# on 127.0.0.1 has.
POD = "127.0.0.2"


def over_http(port, path, timeout):
    """As a kubelet: 200 to 399 is success, and nothing is kept alive."""

    def ask():
        connection = http.client.HTTPConnection(POD, port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"connection": "close"})
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def over_grpc(port, service, timeout):
    def ask():
        request = health_pb2.HealthCheckRequest(service=service)
        with grpc.insecure_channel(f"{POD}:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(request, timeout=timeout)
            except grpc.RpcError:
                return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    return ask


def compare(what, program, folder, environment, probes):
    """`probes`: what asks, by what it is asked for: startup, readiness, liveness."""

    def are(state, **expected):
        # At once: whoever asks after a report sees that report.
        answers = {name: ask() for name, ask in probes.items()}
        expect(f"{what}, {state}", {name: expected[name] for name in probes}, answers)

    host, _, port = environment["LISTEN"].rpartition(":")
    expect(f"{what}: where it listens in its container", "[::]", host)
    settings = {"ADMIN": "127.0.0.1:28080", **environment, "START_SECONDS": "3"}
    with Replica(program, folder / "app.log", what, int(port), **settings) as app:
        becomes("it listens", 200, lambda: status(app.port, "/livez"))
        are("while it starts", startup=False, readiness=False, liveness=True)
        # Nothing is flipped before it has come up.
        becomes("it starts", 200, lambda: status(app.port, "/readyz"))
        are("when it is ready", startup=True, readiness=True, liveness=True)
        app.flip("storage", "failing")
        are("while storage fails", startup=True, readiness=False, liveness=True)
        app.flip("storage", "ready")
        app.flip("database", "failing")
        are("while the shared database fails", startup=True, readiness=True, liveness=True)
        app.flip("database", "ready")
        app.flip("worker", "dead")
        are("when a vital subsystem is dead", startup=True, readiness=False, liveness=False)
        app.flip("worker", "ready")
        app.terminate()
        becomes("it drains", 404, lambda: status(app.port, "/readyz"))
        are("while it drains", startup=True, readiness=False, liveness=True)


def fits(what, environment, until_kill, notices):
    """Delay + what is in flight < what there is until SIGKILL, with a second or
    two to spare; and the delay is longer than whoever asks takes to notice."""
    delay, finish = (float(environment[f"{name}_SECONDS"]) for name in ("DRAIN", "FINISH"))
    if delay + finish + 2 > until_kill:
        fail(f"{what}: {delay} s + {finish} s do not fit into {until_kill} s")
    if delay < notices:
        fail(f"{what}: a delay of {delay} s is over before anybody notices, after {notices} s")
