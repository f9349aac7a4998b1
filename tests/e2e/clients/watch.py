"""Reads the screen of `readiness watch`. The arguments are the paths of the axum example and
of the command; see tests/e2e/watch --help."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

from browser import until
from ports import free_port
from process import Process

EXAMPLE, READINESS = sys.argv[1:3]
EMPTY_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


class Terminal:
    """A window of tmux. Use it in a `with`, which ends tmux and what runs in it."""

    def __init__(self, command, lines=30):
        self.server = f"readiness-{os.getpid()}-{time.monotonic_ns()}"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", str(lines), command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")

    def tmux(self, *arguments):
        command = ["tmux", "-L", self.server, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options).rstrip("\n")

    def shows(self, pattern, *options):
        """Waits until a pattern stands on the screen, and returns the match."""
        found = lambda: re.search(pattern, self.screen(*options), re.MULTILINE)
        until(lambda: found() is not None,
              lambda: f"no {pattern!r} on the screen:\n{self.screen(*options)}")
        return found()


def first_row(terminal):
    """The row below the header of the table."""
    return re.search(r"^   name .*\n(.*)$", terminal.screen(), re.MULTILINE)[1]


def colours(screen):
    """The attributes in a screen; tmux resets them with `39` or `0`."""
    return set(re.findall(r"\x1b\[(9[0-7]|3[0-7]|1)m", screen))


def changes(process, terminal):
    terminal.shows(r"^READY$")
    terminal.shows(r"^\[\+\]storage +ready +required +\d+s")
    terminal.shows(rf"^{process.admin}  \d\d:\d\d:\d\d UTC  phase started  started yes  live yes")
    process.flip("storage", "failing")
    terminal.shows(r"^NOT READY  storage failing \(connection refused\)$")
    assert first_row(terminal).startswith("[-]storage "), terminal.screen()
    terminal.shows(r"^\[-\]storage +failing +required +[2-9]s  connection refused$")
    terminal.shows(r"^\d\d:\d\d:\d\d storage ready -> failing: connection refused \(after \d+s\)$")
    process.request()
    terminal.shows(r"in flight 0  refused 1 failing$")
    assert "31" in colours(terminal.screen("-e")), "what is red has no colour"
    process.flip("storage", "ready")
    process.flip("cache", "failing")
    terminal.shows(r"^READY \(DEGRADED\)  cache failing")
    terminal.shows(r"^\[-\]search +failing +scope +cache$")


def silence(process, terminal):
    process.send(signal.SIGSTOP)
    begin = time.monotonic()
    terminal.shows(r"^NO NEWS since \d\d:\d\d:\d\d UTC, connecting again: the process is silent$")
    took = time.monotonic() - begin
    assert 3.5 < took < 8.5, f"the screen turned grey after {took:.1f} s"
    terminal.shows(r"^was ready \(degraded\)")
    # All but the first line is grey.
    same = colours(terminal.screen("-e"))
    assert same == {"90", "1"}, f"{same} in the grey screen"
    process.send(signal.SIGCONT)
    terminal.shows(r"^READY \(DEGRADED\)")


@contextlib.contextmanager
def silent_peer(answer):
    """A terminal that follows a peer which says no more than this."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Terminal(f"{READINESS} watch 127.0.0.1:{listener.getsockname()[1]}") as terminal:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                yield terminal


def main():
    # A script that is told to end leaves each `with`, and so ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    port = free_port()
    with silent_peer(b"") as no_answer, silent_peer(EMPTY_STREAM) as no_event:
        follow(port)
        for terminal in (no_answer, no_event):
            terminal.shows(r"no answer from 127\.0\.0\.1:\d+ within 10s$")
    print("1 passed, 0 failed")


def follow(port):
    # A process that is not there yet.
    with Terminal(f"{READINESS} watch 127.0.0.1:{port}") as terminal:
        terminal.shows(r"cannot connect to 127\.0\.0\.1")
        with Process(EXAMPLE, port) as process:
            process.ready()
            process.flip("database", "ready")
            changes(process, terminal)
            silence(process, terminal)
            # A window with few lines shows the beginning, and says so.
            terminal.tmux("resize-window", "-y", "8")
            terminal.shows(r"^\d+ more lines$")
            assert terminal.screen().startswith("READY (DEGRADED)"), terminal.screen()
            terminal.tmux("resize-window", "-y", "30")
            process.send(signal.SIGTERM)
            for left in (4, 3, 2):
                terminal.shows(rf"^draining: {left} s left$")
            assert process.process.wait(30) == 0
            terminal.shows(r"^NO NEWS since .* UTC, connecting again: ")
        with Process(EXAMPLE, port) as successor:
            successor.ready()
            terminal.shows(r"^READY$")
            with Terminal(f"NO_COLOR=1 {READINESS} watch 127.0.0.1:{port}") as plain:
                plain.shows(r"^READY$")
                assert "\x1b" not in plain.screen("-e"), "NO_COLOR is not obeyed"


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
