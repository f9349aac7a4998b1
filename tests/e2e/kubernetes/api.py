"""The API of the node's Kubernetes, and its pods, as a process inside the node's
namespaces reaches them."""

import http.client
import json
import ssl
import subprocess
import threading
import time

SERVER = ("192.168.77.2", 6443)
HEADERS = {"Authorization": "Bearer admin", "Content-Type": "application/json"}


class Failed(Exception):
    """Something differs from what it has to be."""


def connect(timeout):
    # The server made its certificate itself, a moment ago.
    unverified = ssl._create_unverified_context()
    return http.client.HTTPSConnection(*SERVER, context=unverified, timeout=timeout)


def call(method, path, body=None):
    """The status and the answer."""
    connection = connect(timeout=30)
    try:
        connection.request(method, path, body and json.dumps(body), HEADERS)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def get(path):
    status, answer = call("GET", path)
    if status != 200:
        raise Failed(f"GET {path}: {status} {answer.get('message')}")
    return answer


def kubectl(*arguments, stdin=None):
    done = subprocess.run(
        ["kubectl", *map(str, arguments)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    if done.returncode != 0:
        raise Failed(f"kubectl {' '.join(map(str, arguments))}: {done.stdout}")
    return done.stdout


class Watch(threading.Thread):
    """Keeps every version of some objects: (time, type of change, object)."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.seen, self.ends = path, [], False
        self.start()

    def run(self):
        while not self.ends:
            # From the start anew, if the server ends it: old versions come again.
            connection = connect(timeout=3600)
            try:
                connection.request("GET", f"{self.path}?watch=1", headers=HEADERS)
                for line in connection.getresponse():
                    change = json.loads(line)
                    self.seen.append((time.time(), change["type"], change["object"]))
                    if self.ends:
                        break
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.2)
            finally:
                connection.close()

    def stop(self):
        self.ends = True


def ask(address, port, path, method="GET", timeout=5):
    """The status and the body of one request, on a connection of its own; None if
    there is no answer."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def until(what, holds, patience=120, every=0.1):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + patience
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise Failed(f"after {patience} s still not: {what}")
        time.sleep(every)
    return answer
