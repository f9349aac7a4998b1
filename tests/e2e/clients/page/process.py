"""The axum example, as a process under test."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from ports import free_port


class Process:
    """Use it in a `with`, which ends the process."""

    def __init__(self, program, admin_port=None):
        self.program, self.admin_port = program, admin_port or free_port()

    def __enter__(self):
        environment = {**os.environ, "PORT": "0", "ADMIN_PORT": str(self.admin_port)}
        self.process = subprocess.Popen([self.program], env=environment, text=True,
                                        stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        self.application, self.admin = re.findall(r"127\.0\.0\.1:\d+", line)
        opens = self.process.stdout.readline()
        assert f"http://{self.admin}/" in opens, f"the example does not say where its page is: {opens}"
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def send(self, number):
        self.process.send_signal(number)

    def flip(self, subsystem, state):
        ask(f"http://{self.application}/demo/{subsystem}/{state}", method="POST")

    def ready(self):
        ask(f"http://{self.application}/readyz?wait=20")

    def request(self, path="/"):
        try:
            ask(f"http://{self.application}{path}")
        except urllib.error.HTTPError:
            pass  # refused

    def page(self):
        """The document and its policy."""
        answer = ask(f"http://{self.admin}/", accept="text/html")
        return answer.body, answer.headers["content-security-policy"]

    def status(self):
        return json.loads(ask(f"http://{self.admin}/statusz", accept="application/json").body)


class Answer:
    def __init__(self, headers, body):
        self.headers, self.body = headers, body


def ask(url, method="GET", accept="*/*"):
    request = urllib.request.Request(url, headers={"accept": accept}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return Answer(answer.headers, answer.read())
