"""Which deployments are hurt together, and which is the control of which."""

import dataclasses

import manifest
import steps

# What an arm claims. `LOSES` is a control: without it, `SAVES` is no proof.
SAVES, LOSES, STATES = "loses nothing", "control: has to lose", "states what is lost"


@dataclasses.dataclass
class Arm:
    name: str
    claims: str
    steps: list
    changes: list = dataclasses.field(default_factory=list)
    replicas: int = 3
    file: str = "deployment.yaml"
    # Requests per second. Controls that lose only what is sent within the instant
    # in which a pod leaves need many.
    rate: int = 100
    # Which subsystem fails in all pods, and the row of the truth table for it.
    fails: tuple = ()


@dataclasses.dataclass
class Scenario:
    """Arms that run at the same time."""

    name: str
    about: str
    arms: list


def all_scenarios():
    no_delay = manifest.setting("DRAIN_SECONDS", "0")
    asks_liveness = manifest.readiness_asks_liveness()
    slow = manifest.setting("START_SECONDS", "15", shipped=False)
    pre_stop = manifest.pre_stop_drains()
    moves = [steps.restart, steps.scale, steps.evict]
    return [
        Scenario(
            "moves",
            "pods are replaced, scaled and evicted",
            [
                Arm("shipped", SAVES, moves, rate=300),
                Arm("no-delay", LOSES, moves, [no_delay], rate=300),
            ],
        ),
        Scenario(
            "one-fails",
            "one pod cannot serve, dies or is killed",
            [
                Arm("storage-fails", SAVES, [steps.one_fails]),
                Arm("asks-liveness", LOSES, [steps.one_fails], [asks_liveness]),
                Arm("vital-dies", STATES, [steps.vital_dies]),
                Arm("killed", STATES, [steps.kill]),
            ],
        ),
        Scenario(
            "all-fail",
            "a dependency is gone for all pods",
            [
                Arm("shared", SAVES, [steps.all_fail], fails=("database", "Degraded")),
                Arm("required", LOSES, [steps.all_fail], fails=("storage", "Failing")),
            ],
        ),
        Scenario(
            "slow-start",
            "a pod needs long to start",
            [
                Arm("shipped-slow", SAVES, [steps.slow_start], [slow], replicas=2),
                Arm("startup-probe-alone", SAVES, [steps.slow_start], [slow, asks_liveness], replicas=2),
                Arm(
                    "no-startup-probe",
                    LOSES,
                    [steps.slow_start],
                    [slow, asks_liveness, manifest.no_startup_probe()],
                    replicas=2,
                ),
            ],
        ),
        Scenario(
            "pre-stop",
            "a hook drains, before SIGTERM comes",
            [
                Arm("hook", SAVES, [steps.restart], [pre_stop], rate=300),
                Arm("hook-no-delay", LOSES, [steps.restart], [pre_stop, no_delay], rate=300),
            ],
        ),
        Scenario(
            "admin-port",
            "probes on a port of their own (the demo speaks plain HTTP at the other)",
            [
                Arm("admin", SAVES, [steps.restart], file="admin-port.yaml", rate=300),
                Arm("admin-no-delay", LOSES, [steps.restart], [no_delay], file="admin-port.yaml", rate=300),
            ],
        ),
    ]
