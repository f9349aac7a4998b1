"""The shipped Dockerfile and compose file in a real engine; see tests/e2e/docker."""

import concurrent.futures
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

import common
from common import FILES, becomes, expect, fail

IN_USE = 60  # seconds for what an engine does


class Engine:
    """An engine of its own, until the end of the block. It has no network, so
    that it asks for no privileges there; containers have theirs to themselves."""

    def __init__(self, folder):
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"

    def __enter__(self):
        self.log = open(self.folder / "dockerd.log", "wb")
        # vfs works where the folder is on an overlay itself.
        self.process = subprocess.Popen(
            [
                shutil.which("dockerd") or "/usr/sbin/dockerd",
                f"--data-root={self.folder}/data",
                f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/dockerd.pid",
                f"--host={self.host}",
                "--iptables=false",
                "--bridge=none",
                "--storage-driver=vfs",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        deadline = time.monotonic() + IN_USE
        while self.run("version", check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(True)
                fail("the engine does not start here; its last words are above")
            time.sleep(0.1)
        return self

    def __exit__(self, failed, *_):
        if self.process.poll() is None:
            for container in self.run("ps", "-aq", check=False).stdout.split():
                if failed:
                    print(f"--- {container}\n{self.everything(container)}", file=sys.stderr)
                self.run("rm", "-f", container, check=False)
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(IN_USE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        if failed:
            print(f"--- dockerd\n{common.tail(self.folder / 'dockerd.log')}", file=sys.stderr)

    def run(self, *arguments, check=True, program="docker"):
        done = subprocess.run(
            [program, "-H", self.host, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=2 * IN_USE,
            # Debian's engine has the old builder, which needs nothing else.
            env={**common.os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"},
        )
        if check and done.returncode != 0:
            fail(f"{program} {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done

    def everything(self, container):
        logs = self.run("logs", container, check=False)
        state = self.run("inspect", "-f", "{{json .State}}", container, check=False)
        return f"{state.stdout}{logs.stdout}{logs.stderr}"


class Container:
    def __init__(self, engine, name):
        self.engine, self.name = engine, name

    @classmethod
    def start(cls, engine, name, *options):
        engine.run(
            *("run", "--detach", "--name", name, "--network", "none"),
            # As shipped, only sooner.
            *("--health-interval", "500ms", *options, "app"),
        )
        return cls(engine, name)

    def state(self):
        return json.loads(self.engine.run("inspect", "-f", "{{json .State}}", self.name).stdout)

    def health(self):
        return self.state()["Health"]["Status"]

    def checks_since(self, since):
        """What health checks said that began after this one."""
        log = self.state()["Health"]["Log"]
        return [(one["ExitCode"], one["Output"].strip()) for one in log if one["Start"] > since]

    def now(self):
        """The newest health check of all so far."""
        log = self.state()["Health"]["Log"]
        return log[-1]["Start"] if log else ""

    def curl(self, path, *options):
        """Asks from inside, where nothing but the service is."""
        inside = ["nsenter", "-t", str(self.state()["Pid"]), "-n"]
        done = subprocess.run(
            [*inside, "curl", "-sS", "-m", "10", "-w", " %{http_code}", *options]
            + [f"http://127.0.0.1:3000{path}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def status(self, path, *options):
        return self.curl(path, *options)[-3:]

    def flip(self, subsystem, state):
        expect(f"{subsystem}/{state}", "200", self.status(f"/demo/{subsystem}/{state}", "-XPOST"))

    def stays_healthy(self, why, checks=4):
        """A few more health checks, more than it takes to turn unhealthy."""
        since = self.now()
        becomes(f"checks {why}", True, lambda: len(self.checks_since(since)) >= checks)
        expect(f"checks {why}", {0}, {code for code, _ in self.checks_since(since)})
        expect(f"status {why}", "healthy", self.health())


def health(engine):
    app = Container.start(engine, "app", "-e", "START_SECONDS=3")
    becomes("the first check", True, lambda: bool(app.checks_since("")))
    expect("while it starts", "starting", app.health())
    code, said = app.checks_since("")[0]
    expect(f"a check while it starts says who: {said}", (1, True), (code, "storage" in said))
    seen = set()
    becomes("when it has started", "healthy", lambda: seen.add(app.health()) or app.health())
    expect("failures that count while it starts", False, "unhealthy" in seen)
    since = app.now()
    expect("readiness", "200", app.status("/readyz"))

    app.flip("storage", "failing")
    expect("readiness while a dependency fails", "503", app.status("/readyz"))
    app.stays_healthy("while a dependency fails")
    app.flip("storage", "ready")
    print(f"  starting: {said}\n  healthy: {app.checks_since(since)[-1][1]}")
    return app


def unhealthy(engine):
    app = Container.start(engine, "vital", "-e", "START_SECONDS=0")
    becomes("when it has started", "healthy", app.health)
    app.flip("worker", "dead")
    becomes("when a vital subsystem is dead", "unhealthy", app.health)
    code, said = app.checks_since("")[-1]
    expect(f"the check says who and why: {said}", (1, True), (code, "worker" in said and "gave up" in said))
    print(f"  unhealthy: {said}")
    engine.run("stop", app.name)
    expect("it ends with", 0, app.state()["ExitCode"])
    engine.run("rm", app.name)


def stop(engine, app):
    """What `docker stop` does, with the 10 s it gives by itself."""
    pool = concurrent.futures.ThreadPoolExecutor()
    started = time.monotonic()
    stopping = pool.submit(engine.run, "stop", app.name)
    becomes("readiness when it is stopped", "404", lambda: app.status("/readyz"))
    app.stays_healthy("while it drains", 1)
    expect("traffic while it drains", "200", app.status("/"))
    # Ends after the port was closed: it begins in the last second of the drain.
    time.sleep(max(0, started + 3 - time.monotonic()))
    slow = pool.submit(app.curl, "/slow")
    expect("a request in flight", "at last from app\n 200", slow.result())
    stopping.result()
    took = time.monotonic() - started
    expect("it ends with", 0, app.state()["ExitCode"])
    expect("its last words", "Drained.", engine.run("logs", app.name).stdout.splitlines()[-1])
    if took > 10:
        fail(f"docker stop took {took:.1f} s: it was killed")
    print(f"  stopped in {took:.1f} s")
    engine.run("rm", app.name)


def compose(engine, folder):
    """The shipped file, but for the network that the engine does not have."""
    project = yaml.safe_load((folder / "compose.yaml").read_text())
    front, storage = (project["services"][name] for name in ("front", "storage"))
    del front["ports"]
    for service in (front, storage):
        service["network_mode"] = "none"
    storage["environment"]["START_SECONDS"] = "5"
    (folder / "compose.yaml").write_text(yaml.safe_dump({"version": "3.9", **project}))
    arguments = ("-f", folder / "compose.yaml", "-p", "deploy")

    pool = concurrent.futures.ThreadPoolExecutor()
    up = pool.submit(engine.run, *arguments, "up", "--detach", program="docker-compose")
    becomes("storage is there", 1, lambda: len(names(engine, "storage")))
    storage = Container(engine, names(engine, "storage")[0])
    becomes("storage", "starting", storage.health)
    time.sleep(2)
    if storage.health() == "starting":
        running = engine.run("ps", "-q", "--filter", "name=front").stdout.split()
        expect("front while storage starts", [], running)
    up.result()
    front = Container(engine, names(engine, "front")[0])
    log = storage.state()["Health"]["Log"]
    healthy = next(one["End"] for one in log if one["ExitCode"] == 0)
    # In UTC and of one form, so that they compare as text.
    if not front.state()["StartedAt"][:23] >= healthy[:23]:
        fail(f"front started {front.state()['StartedAt']}, storage was healthy {healthy}")
    becomes("front", "healthy", front.health)
    engine.run(*arguments, "down", program="docker-compose")
    print("  front started when storage was healthy")
    expect("containers", [], engine.run("ps", "-aq").stdout.split())


def names(engine, part):
    listed = engine.run("ps", "-a", "--filter", f"name={part}", "--format", "{{.Names}}")
    return listed.stdout.split()


def main(program, readiness):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = folder / "context"
        shutil.copytree(FILES / "docker", context)
        shutil.copy(program, context / "app")
        shutil.copy(readiness, context / "readiness")
        engine = stack.enter_context(Engine(folder))
        engine.run("build", "--tag", "app", context)
        print("health:")
        app = health(engine)
        unhealthy(engine)
        stop(engine, app)
        print("compose:")
        compose(engine, context)
    print(f"{common.checks} checks as promised")


if __name__ == "__main__":
    main(*sys.argv[1:])
