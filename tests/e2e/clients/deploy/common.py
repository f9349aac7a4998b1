"""What the checks of examples/deploy have in common."""

import http.client
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[4]
FILES = ROOT / "examples" / "deploy"
PATIENCE = 20  # seconds until something that does not happen has failed
checks = 0


def fail(what):
    sys.exit(f"FAILED: {what}")


def expect(what, expected, actual):
    global checks
    if expected != actual:
        fail(f"{what}: expected {expected!r}, got {actual!r}")
    checks += 1


def becomes(what, expected, ask, patience=PATIENCE):
    """Asks until the answer is the expected one."""
    global checks
    deadline = time.monotonic() + patience
    while (answer := ask()) != expected:
        if time.monotonic() > deadline:
            fail(f"{what}: did not become {expected!r}; it is {answer!r}")
        time.sleep(0.05)
    checks += 1


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def refused(self):
        return self.status == 503 and self.headers.get("x-readiness") is not None

    @property
    def by(self):
        """Which replica handled it."""
        return self.body.rpartition(" from ")[2].strip()

    def __repr__(self):
        return f"{self.status} {self.body!r}"


def ask(port, path, method="GET", host="127.0.0.1", timeout=10):
    """One request on a connection of its own; None if there is no answer. Without a
    body, so that it is one packet, and nothing but its method is a reason for a
    proxy not to send it twice."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def status(port, path, **more):
    answer = ask(port, path, **more)
    return answer and answer.status


class Process:
    """A process of this test's, until the end of the block."""

    def __init__(self, command, log, **environment):
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self, patience=PATIENCE):
        """The status it ends with by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            fail(f"{self.process.args[0]} does not end")

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if self.process.poll() is None:
            # Killed at once, nginx would leave its workers behind.
            self.terminate()
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        if failed:
            print(f"--- {self.log}\n{tail(self.log)}", file=sys.stderr)


def tail(path):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-15:])


class Replica(Process):
    """The deployed service; `flip` it by what it has for demonstrations."""

    def __init__(self, program, log, name, port, **environment):
        self.name, self.port = name, port
        settings = {
            "NAME": name,
            "LISTEN": f"127.0.0.1:{port}",
            "ADMIN": "127.0.0.1:0",
            "START_SECONDS": "0",
        }
        super().__init__([program], log, **{**settings, **environment})

    def flip(self, subsystem, state):
        path = f"/demo/{subsystem}/{state}"
        expect(f"{self.name} {path}", 200, status(self.port, path, method="POST"))

    def counts(self):
        """How many requests it handled, and how many its gate refused while
        it was failing."""
        return [int(count) for count in ask(self.port, "/demo/counts").body.split()]

    def handled(self):
        return self.counts()[0]

    def refused(self):
        return self.counts()[1]
