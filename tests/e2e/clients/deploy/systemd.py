"""The shipped units: as systemd reads them, and what must stand in them."""

import configparser
import os
import subprocess

from common import FILES, expect, fail

UNITS = ("app.service", "app.socket")


def check(program, folder):
    for unit in UNITS:
        text = (FILES / "systemd" / unit).read_text()
        # It has to be there, and to be executable.
        (folder / unit).write_text(text.replace("=/usr/local/bin/app\n", f"={program}\n"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(folder / unit for unit in UNITS)],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    # An unknown name is only a warning. Other units' are none of ours.
    complaints = [line for line in done.stdout.splitlines() if any(unit in line for unit in UNITS)]
    if complaints or done.returncode != 0:
        fail("systemd-analyze verify: " + ("\n".join(complaints) or done.stdout))

    service, socket = (parsed(folder / unit) for unit in UNITS)
    main = service["Service"]
    expect("when it is started", "notify", main.get("Type"))
    expect("who may say so", "main", main.get("NotifyAccess"))
    expect("what a failed watchdog leads to", "on-failure", main.get("Restart"))
    if seconds(main.get("WatchdogSec", "0")) <= 0:
        fail("app.service: no watchdog")
    settings = dict(one.split("=") for one in main["Environment"].split())
    delay, finish = (float(settings[f"{name}_SECONDS"]) for name in ("DRAIN", "FINISH"))
    if delay + finish + 2 > seconds(main.get("TimeoutStopSec", "90s")):
        fail(f"app.service: {delay} s + {finish} s do not fit into {main['TimeoutStopSec']}")
    expect("what the process knows", seconds(main["TimeoutStopSec"]), float(settings["STOP_SECONDS"]))
    # The socket outlives the process: whoever waits longer, waits for nobody.
    if delay > 1:
        fail(f"app.service: a delay of {delay} s before every restart")
    for name in ("Requires", "After"):
        if "app.socket" not in service["Unit"].get(name, "").split():
            fail(f"app.service: {name} lacks app.socket")
    expect("processes for connections", "no", socket["Socket"].get("Accept", "no"))


def parsed(file):
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(file)
    return unit


def seconds(text):
    return float(text.removesuffix("s"))
