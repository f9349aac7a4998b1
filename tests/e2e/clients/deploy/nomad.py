"""The shipped job for Nomad: its language, the names it has, and its checks as
Nomad runs them."""

import re

import hcl2

from common import FILES, expect, fail
from states import compare, fits, over_http

# The arguments and blocks of each block that is used, from Nomad's job
# specification. Those of `config` are the driver's, those of `env` anybody's.
KNOWN = {
    "job": "all_at_once constraint datacenters group meta namespace priority region type update",
    "update": "auto_promote auto_revert canary health_check healthy_deadline max_parallel"
    " min_healthy_time progress_deadline stagger",
    "group": "constraint count disconnect ephemeral_disk meta migrate network reschedule restart"
    " service shutdown_delay task update volume",
    "network": "dns hostname mode port",
    "port": "host_network static to",
    "service": "address check check_restart enable_tag_override meta name on_update port provider"
    " tags task",
    "check": "address_mode body check_restart header interval method name on_update path port"
    " protocol timeout type",
    "check_restart": "grace ignore_warnings limit",
    "task": "artifact config constraint driver env kill_signal kill_timeout leader lifecycle logs"
    " meta resources restart service shutdown_delay template user volume_mount",
    "resources": "cores cpu device memory memory_max",
}
LABELLED = {"job", "group", "task", "port"}
# What a client grants at most unless it is told.
MAX_KILL_TIMEOUT = 30


def check(program, folder):
    file = FILES / "nomad" / "app.nomad.hcl"
    try:
        with file.open() as text:
            parsed = plain(hcl2.load(text))
    except Exception as error:  # the parser's own
        fail(f"{file.name}: {error}")
    known("file", parsed, {"job"})

    (job,) = named(parsed["job"])
    (group,) = named(job["group"])
    (task,) = named(group["task"])
    expect("what makes a deployment healthy", "checks", job["update"][0]["health_check"])
    expect("a delay before the signal", None, task.get("shutdown_delay", group.get("shutdown_delay")))
    expect("the signal", "SIGTERM", task["kill_signal"])
    environment = task["env"][0]

    ports = {name: port for one in group["network"][0]["port"] for name, port in one.items()}
    asked, notices = {}, 0
    for service in group["service"]:
        if service["port"] not in ports:
            fail(f"{file.name}: no port is called {service['port']}")
        for one in service["check"]:
            ask = over_http(ports[service["port"]]["to"], one["path"], seconds(one["timeout"]))
            # What Nomad restarts for is liveness, and nothing else is.
            which = "liveness" if "check_restart" in one else "readiness"
            asked[which] = ask
            if which == "readiness":
                notices = seconds(one["interval"]) + seconds(one["timeout"])
    expect("what is asked", {"liveness", "readiness"}, set(asked))
    if seconds(task["kill_timeout"]) > MAX_KILL_TIMEOUT:
        fail(f"{file.name}: no client grants {task['kill_timeout']}")
    fits(file.name, environment, seconds(task["kill_timeout"]), notices)
    compare(file.name, program, folder, environment, asked)


def plain(value):
    """Without the parser's own marks and the quotes around strings."""
    if isinstance(value, dict):
        own = ("__is_block__", "__comments__", "__inline_comments__")
        return {plain(key): plain(inner) for key, inner in value.items() if key not in own}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str):
        return value.strip('"')
    return value


def named(blocks):
    return [inner for block in blocks for inner in block.values()]


def known(block, content, names):
    """Nomad refuses a name that it does not know."""
    for name, inner in content.items():
        if name not in names:
            fail(f"Nomad knows no {name} in {block}")
        # A service names its port as an argument.
        if name in KNOWN and isinstance(inner, list):
            for one in named(inner) if name in LABELLED else inner:
                known(name, one, set(KNOWN[name].split()))


def seconds(text):
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if not found:
        fail(f"{text} is no duration")
    return int(found[1]) * {"ms": 0.001, "s": 1, "m": 60}[found[2]]
