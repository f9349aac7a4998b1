"""Ports for processes under test."""

import pathlib
import random
import socket

handed_out = set()


def first_ephemeral():
    try:
        return int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 0


def free_port():
    """A port of 127.0.0.1 without a listener, below the range from which the kernel takes
    ports for connections and for listeners of port 0, so that neither gets it before the
    process under test listens there, or while that process restarts."""
    end = first_ephemeral()
    for port in random.sample(range(10_000, end if end > 12_000 else 32_768), 1_000):
        if port in handed_out:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        handed_out.add(port)
        return port
    raise OSError("no free port")
