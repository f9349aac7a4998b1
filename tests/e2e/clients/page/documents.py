"""The data of events, as the stand-in of a process sends it."""

import copy
import time

ATTACKS = [
    "<script>window.attacked=1</script>",
    "<img src=x onerror=window.attacked=1>",
    "\"'><svg/onload=window.attacked=1>",
    "</title></style></script><iframe srcdoc='<script>parent.attacked=1</script>'>",
    "javascript:window.attacked=1//{{rows}}${window.attacked=1}",
    "\u202eevil\u2066\u0000\u001b[31m\r\n\u2028 \U000e0041",
]


def subsystem(name, state="ready", reason=None, **more):
    return {"name": name, "role": "required", "vital": False, "pending": False, "state": state,
            "reason": reason, "attributes": {}, "claim": "held", "since_unix_ms": 0, "for_ms": 0,
            "transitions": 1, **more}


def transition(version, name, before, after, reason=None):
    return {"version": version, "kind": "subsystem", "name": name, "from": before, "to": after,
            "refused": 3, "reason": reason or "", "at_unix_ms": int(time.time() * 1_000), "ago_ms": 0,
            "lasted_ms": 1_000}


def whole(subsystems, version=1, **more):
    down = [it["name"] for it in subsystems if it["state"] not in ("ready", "degraded")]
    status = "not ready" if down else "ready"
    return {
        "probe": "status", "ok": True, "status": status,
        "summary": f"{status}: {down[0]} failing" if down else status,
        "verdicts": {"startup": True, "liveness": True, "readiness": not down},
        "because_of": down, "version": version, "phase": "started",
        "condition": "failing" if down else "ready", "paused": False,
        "subsystems": subsystems, "scopes": [], "history": [],
        "traffic": {"in_flight": 2, "late_arrivals": 0, "refused": {}, "dry_run_refused": {}},
        **more,
    }


def attacked(text):
    """A document with `text` in every place that has a string."""
    document = whole([subsystem(text, text, text, role=text, claim="dropped",
                                attributes={text: text},
                                members={"total": 1, "ready": 0, "states": {text: 1}},
                                damped={"state": text, "reason": text, "count": 1, "needed": 2})])
    document.update(
        status=text, summary=f"{text}: {text}", phase=text, condition=text, paused=True,
        pause_reason=text, because_of=[text],
        scopes=[{"name": text, "condition": text, "ready": False, "because_of": [text],
                 "refused": {text: 1}, "dry_run_refused": {text: 1}}],
        history=[{**transition(1, text, text, text, text), "kind": text}],
        drain={"delay_ms": 5_000, "longest_delay_ms": 5_000, "cap_ms": 9_000, "left_ms": 3_000},
    )
    document["traffic"].update(refused={text: 1}, dry_run_refused={text: 1})
    return copy.deepcopy(document)


def strings(value):
    """Every string in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
