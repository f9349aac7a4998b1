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
    slow = manifest.setting("START_SECONDS", "15")
    pre_stop = manifest.pre_stop_drains()
    moves = [steps.restart, steps.scale, steps.evict]
    return [
        Scenario(
            "moves",
            "pods leave because somebody wants them to, or are killed",
            [
                Arm("shipped", SAVES, moves),
                Arm("no-delay", LOSES, moves, [no_delay]),
                Arm("killed", STATES, [steps.kill]),
            ],
        ),
        Scenario(
            "one-fails",
            "one pod cannot serve",
            [
                Arm("storage-fails", SAVES, [steps.one_fails]),
                Arm("asks-liveness", LOSES, [steps.one_fails], [asks_liveness]),
                Arm("vital-dies", STATES, [steps.vital_dies]),
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
                Arm("hook", SAVES, [steps.restart], [pre_stop]),
                Arm("hook-no-delay", LOSES, [steps.restart], [pre_stop, no_delay]),
            ],
        ),
        Scenario(
            "admin-port",
            "probes on a port of their own (the demo speaks plain HTTP at the other)",
            [
                Arm("admin", SAVES, [steps.restart], file="admin-port.yaml"),
                Arm("admin-no-delay", LOSES, [steps.restart], [no_delay], file="admin-port.yaml"),
            ],
        ),
    ]
