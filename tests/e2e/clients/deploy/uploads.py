"""Uploads to replicas whose gates refuse them, by clients that keep their
connections: each client gets the refusal, and no later request is lost."""

import collections
import http.client
import itertools
import threading
import time

from common import expect

TRIES = 200
CLIENTS = 4  # at the same time
SLOW_CLIENTS = 20  # one upload each
SIZES = {"10 B": 10, "20 KB": 20_000, "1 MB": 1_000_000, "5 MB": 5_000_000}
FRAMINGS = ("content-length", "chunked")
SLOW_SECONDS, SLOW_PIECES = 3, 30
CHUNK = 64 * 1024
BYTES = bytes(max(SIZES.values()))


def body(size, framing):
    """http.client sends a body whole before it reads the answer, and never in one
    packet with the head."""
    if framing == "slow":
        return slow_body(size)
    if framing == "content-length":
        return BYTES[:size]
    return (BYTES[at : min(at + CHUNK, size)] for at in range(0, size, CHUNK))


def slow_body(size):
    """Longer under way than the gate waits before it answers."""
    for _ in range(SLOW_PIECES):
        yield BYTES[: size // SLOW_PIECES]
        time.sleep(SLOW_SECONDS / SLOW_PIECES)


def asks(connection, method, **more):
    """What is wrong with the answer to a request that a gate refuses."""
    try:
        connection.request(method, "/", **more)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"no answer: {type(error).__name__}"
    if response.status != 503:
        return f"status {response.status}"
    missing = [name for name in ("retry-after", "x-readiness") if name not in response.headers]
    return f"503 without {', '.join(missing)}" if missing else None


def client(port, size, framing, tries, wrong):
    """Uploads, and asks again on the same connection unless the answer announced
    its end, in which case http.client opens another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in tries:
        chunked = framing != "content-length"
        problem = asks(connection, "POST", body=body(size, framing), encode_chunked=chunked,
                       headers={"transfer-encoding": "chunked"} if chunked else {})
        wrong.append(problem and f"upload: {problem}")
        problem = asks(connection, "GET")
        wrong.append(problem and f"next request: {problem}")
    connection.close()


def upload(name, port, slow):
    """All sizes and framings through one port, and slow uploads; returns what went
    wrong."""
    started, all_wrong = time.monotonic(), collections.Counter()
    uploads = [
        (label, size, framing, TRIES, CLIENTS)
        for (label, size), framing in itertools.product(SIZES.items(), FRAMINGS)
    ]
    if slow:
        uploads.append((f"30 KB in {SLOW_SECONDS} s", 30_000, "slow", SLOW_CLIENTS, SLOW_CLIENTS))
    for label, size, framing, count, clients in uploads:
        wrong, tries = [], iter(range(count))  # shared, and each number taken once
        threads = [
            threading.Thread(target=client, args=(port, size, framing, tries, wrong), daemon=True)
            for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(f"requests, {label} by {framing}, {name}", 2 * count, len(wrong))
        counts = collections.Counter(filter(None, wrong))
        for problem, times in sorted(counts.items()):
            print(f"{name}: {label} by {framing}: {times} of {count}: {problem}")
        all_wrong += counts
    took = time.monotonic() - started
    total = sum(count for *_, count, _ in uploads)
    print(f"{name}: {total} refused uploads, {all_wrong.total()} went wrong ({took:.0f} s)")
    return all_wrong
