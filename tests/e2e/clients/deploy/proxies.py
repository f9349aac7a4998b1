"""Real proxies with the shipped configurations in front of two replicas; see
tests/e2e/proxies."""

import collections
import contextlib
import csv
import pathlib
import shutil
import socket
import sys
import tempfile
import time

import common
from common import FILES, Process, Replica, ask, becomes, expect, fail, status
from load import Load
from ports import free_port
from uploads import upload

DRAIN_SECONDS = 5  # the service's default, which the files reckon with

# What differs. `posts`: what becomes of a POST that a gate refuses. `busy`: how
# often the application handles a GET (a POST) that it answers with its own 503.
Proxy = collections.namedtuple("Proxy", "file listens command asks posts busy extra")
PROXIES = {
    "haproxy": Proxy(
        file="haproxy.cfg",
        listens=("bind :80\n", "bind 127.0.0.1:{port}\n"),
        command=["haproxy", "-db", "-f", "{file}"],
        asks=True,
        posts="stay",
        busy=(2, 1),
        extra=[("local0 notice\n", "local0 notice\n    stats socket {folder}/stats\n")],
    ),
    "nginx": Proxy(
        file="nginx.conf",
        listens=("listen 80;", "listen 127.0.0.1:{port};"),
        command=["nginx", "-p", "{folder}", "-g", "daemon off;", "-c", "{file}"],
        asks=False,
        posts="stay",
        busy=(2, 1),
        extra=[("/run/nginx.pid", "{folder}/nginx.pid")],
    ),
    "envoy": Proxy(
        file="envoy.yaml",
        listens=("address: 0.0.0.0, port_value: 80 ", "address: 127.0.0.1, port_value: {port} "),
        command=["envoy", "--use-dynamic-base-id", "--concurrency", "1"]
        + ["--log-level", "warning", "-c", "{file}"],
        asks=True,
        posts="move",
        busy=(1, 1),
        extra=[("port_value: 9901", "port_value: 0")],
    ),
}


def adapted(proxy, folder, port, replicas, *more):
    """The shipped file, with nothing but addresses replaced (and `more`)."""
    text = (FILES / "proxies" / proxy.file).read_text()
    replacements = [proxy.listens, *proxy.extra, *more]
    for host, replica in zip(("10.0.0.1", "10.0.0.2"), replicas):
        if proxy.file.endswith("yaml"):
            there = f"address: {host}, port_value: 3000 "
            here = f"address: 127.0.0.1, port_value: {replica} "
        else:
            there, here = f"{host}:3000", f"127.0.0.1:{replica}"
        replacements.append((there, here))
    for there, here in replacements:
        if there not in text:
            fail(f"{there!r} is not in {proxy.file}")
        text = text.replace(there, here.format(port=port, folder=folder))
    if "10.0.0." in text:
        fail(f"{proxy.file} has more addresses than are known here")
    file = folder / proxy.file
    file.write_text(text)
    return file


def who_serves(port, requests=8):
    """Which replicas handle a few requests, all of which have to succeed."""
    answers = [ask(port, "/") for _ in range(requests)]
    if not all(answer and answer.status == 200 for answer in answers):
        return answers
    return {answer.by for answer in answers}


def moves_at_once(proxy, port, a, b):
    """Refused requests are tried elsewhere, before anybody has noticed."""
    a.flip("storage", "failing")
    # First what a proxy without checks learns nothing from.
    posts = [ask(port, "/", "POST") for _ in range(6)]
    refused = [answer for answer in posts if answer.status != 200]
    if not all(answer.refused for answer in refused):
        fail(f"POSTs failed that no gate refused: {posts}")
    if proxy.posts == "stay" and not refused:
        fail(f"POSTs were tried twice: {posts}")
    if proxy.posts == "move":
        expect("refused POSTs", [], refused)
    expect("GETs while a is red", {"b"}, who_serves(port, 30))


def fails_over(proxy, port, a, b):
    if proxy.asks:
        # In the words of the files: after 1.5 s nobody asks a any more.
        time.sleep(2)
        refused = a.refused()
        posts = [ask(port, "/", "POST") for _ in range(10)]
        expect("POSTs after the failover", [(200, "b")] * 10, [(p.status, p.by) for p in posts])
        expect("requests that a refused after the failover", refused, a.refused())
    a.flip("storage", "ready")
    becomes("who serves when a is green again", {"a", "b"}, lambda: who_serves(port))


def an_answer_is_no_refusal(proxy, port, a, b):
    """How often the application handles what it answers with its own 503."""
    for method, times in zip(("GET", "POST"), proxy.busy):
        before = a.handled() + b.handled()
        answer = ask(port, "/busy", method)
        expect(f"{method} /busy", (503, False), (answer.status, answer.refused))
        expect(f"{method} /busy handled", times, a.handled() + b.handled() - before)
        if proxy.asks:
            expect("who serves after that", {"a", "b"}, who_serves(port))
        # One that learns from answers may leave both alone for a while.
        becomes("who serves after that", {"a", "b"}, lambda: who_serves(port))


def asks_a_refusing(port, replica):
    """Whether a few requests still get to a replica, which refuses them."""
    before = replica.refused()
    who_serves(port)
    return replica.refused() != before


def everybody_is_red(port, a, b):
    """Envoy's panic: a drains and serves, b refuses, and nothing fails."""
    b.flip("storage", "failing")
    # Envoy has to know of b before it hears of a: in between half are green,
    # which is no panic, and that half is b.
    becomes("who asks b", False, lambda: asks_a_refusing(port, b))
    a.terminate()
    becomes("a", 404, lambda: status(a.port, "/readyz"))
    deadline = time.monotonic() + DRAIN_SECONDS - 1.5
    while time.monotonic() < deadline:
        expect("while all are red", {"a"}, who_serves(port, 4))
        time.sleep(0.1)
    b.flip("storage", "ready")
    expect("a ends with", 0, a.ended())


def haproxy_says(folder, server):
    """What HAProxy makes of a server."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "stats"))
        connection.sendall(b"show stat\n")
        with connection.makefile() as lines:
            names, *rows = csv.reader(line for line in lines if line.strip())
    rows = (dict(zip(names, row)) for row in rows)
    return next(row["status"] for row in rows if row["svname"] == server)


def leaves_at_the_first_check(folder, port, a):
    """A drain takes a replica out at once, not when `fall` checks have failed."""
    becomes("a", "UP", lambda: haproxy_says(folder, "a"))
    a.terminate()
    becomes("a", 404, lambda: status(a.port, "/readyz"))
    while (state := haproxy_says(folder, "a")) == "UP":
        time.sleep(0.02)
    # By way of "UP 2/3" it would be "DOWN".
    expect("what HAProxy makes of a that drains", "NOLB", state)
    expect("who serves while a drains", {"b"}, who_serves(port))
    expect("a ends with", 0, a.ended())


def restarts(proxy, port, replica, a, b):
    """Nothing fails when a replica is drained, is gone, and comes back; returns
    how many requests that were."""
    # nginx sends to a port until it is closed; what is on its way in that
    # moment may be lost, and only what is idempotent is sent again.
    methods = ["GET", "POST", "GET", "SLOW"] if proxy.asks else ["GET", "GET", "GET", "SLOW"]
    with Load(port, methods) as load:
        time.sleep(1)
        a.terminate()
        expect("a ends with", 0, a.ended())
        time.sleep(1)
        load.by.clear()
        with replica("a", a.port, START_SECONDS="2") as successor:
            becomes("the successor", 200, lambda: status(successor.port, "/readyz"))
            becomes("who serves under load", {"a", "b"}, lambda: set(load.by))
            time.sleep(0.5)
            load.__exit__()
    expect(f"failures of {load.sent}", [], load.failed)
    if load.sent < 500:
        fail(f"only {load.sent} requests were sent")
    return load.sent


def run(name, program, commands, folder):
    proxy = PROXIES[name]
    port, *ports = (free_port() for _ in range(3))
    file = adapted(proxy, folder, port, ports)
    command = [part.format(file=file, folder=folder) for part in proxy.command]
    command[0] = commands[name]

    def replica(letter, at, **environment):
        return Replica(program, folder / f"{letter}.log", letter, at, **environment)

    with replica("a", ports[0]) as a, replica("b", ports[1]) as b:
        for one in (a, b):
            becomes(one.name, 200, lambda: status(one.port, "/readyz"))
        with Process(command, folder / f"{name}.log"):
            becomes("who serves", {"a", "b"}, lambda: who_serves(port))
            moves_at_once(proxy, port, a, b)
            fails_over(proxy, port, a, b)
            an_answer_is_no_refusal(proxy, port, a, b)
            sent = restarts(proxy, port, replica, a, b)
            if name == "haproxy":
                with replica("a", ports[0]) as successor:
                    leaves_at_the_first_check(folder, port, successor)
            if name == "envoy":
                with replica("a", ports[0]) as successor:
                    becomes("who serves again", {"a", "b"}, lambda: who_serves(port))
                    everybody_is_red(port, successor, b)
    return sent


def refused_uploads(program, commands, folder):
    """Both replicas refuse, and clients upload: to a replica, and through the
    proxies."""
    port, *ports = (free_port() for _ in range(3))
    with contextlib.ExitStack() as stack:
        for name, at in zip("ab", ports):
            replica = stack.enter_context(Replica(program, folder / f"{name}.log", name, at))
            becomes(name, 200, lambda: status(at, "/readyz"))
            replica.flip("storage", "failing")
        wrong = upload("direct", ports[0], slow=True)
        for name, slow, *more in [
            ["nginx", True],
            # With its checks it would answer for the replicas after 1.5 s.
            ["haproxy", True, ("3000 check\n", "3000\n")],
            # It resets a client that still sends a second after the answer
            # (delayed_close_timeout).
            ["envoy", False],
        ]:
            proxy = PROXIES[name]
            file = adapted(proxy, folder, port, ports, *more)
            command = [part.format(file=file, folder=folder) for part in proxy.command]
            command[0] = commands[name]
            with Process(command, folder / f"{name}.log"):
                becomes(name, True, lambda: (answer := ask(port, "/")) and answer.refused)
                wrong += upload(name, port, slow)
    expect("refused uploads that went wrong", {}, dict(wrong))


def main(program, envoy, *names):
    commands = {"envoy": envoy}
    for name in ("haproxy", "nginx"):
        # Debian keeps them out of the path of ordinary users.
        commands[name] = shutil.which(name) or f"/usr/sbin/{name}"
    for name in names or [*PROXIES, "uploads"]:
        if name not in [*PROXIES, "uploads"]:
            sys.exit(f"no such proxy: {name}")
        with tempfile.TemporaryDirectory() as folder:
            if name == "uploads":
                refused_uploads(program, commands, pathlib.Path(folder))
                continue
            started = time.monotonic()
            sent = run(name, program, commands, pathlib.Path(folder))
            took = time.monotonic() - started
            print(f"{name}: {sent} requests over a restart, none failed ({took:.0f} s)")
    print(f"{common.checks} checks as promised")


if __name__ == "__main__":
    main(*sys.argv[1:])
