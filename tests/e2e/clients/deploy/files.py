"""Checks each of the files in examples/deploy that others do not run; see
tests/e2e/deploy_files."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import common
import kubernetes
import nomad
import systemd
from common import FILES, fail


def proxies(envoy):
    """Each as it is shipped, by the program that is to read it."""
    files = FILES / "proxies"
    commands = [
        [found("haproxy"), "-c", "-f", files / "haproxy.cfg"],
        [found("nginx"), "-t", "-c", files / "nginx.conf"],
        [envoy, "--mode", "validate", "--log-level", "warning", "-c", files / "envoy.yaml"],
    ]
    for command in commands:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        # HAProxy passes what it warns of.
        if done.returncode != 0 or "[WARNING]" in done.stdout:
            fail(f"{command[0]}: {done.stdout}")
        common.checks += 1


def found(program):
    # Debian keeps them out of the path of ordinary users.
    return shutil.which(program) or f"/usr/sbin/{program}"


def main(program, envoy):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, check in [
            ("proxies", lambda: proxies(envoy)),
            ("systemd", lambda: systemd.check(program, folder)),
            ("kubernetes", lambda: kubernetes.check(program, folder)),
            ("nomad", lambda: nomad.check(program, folder)),
        ]:
            check()
            print(f"{name}: as promised")
    print(f"{common.checks} checks as promised")


if __name__ == "__main__":
    main(*sys.argv[1:])
