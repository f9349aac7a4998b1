"""The rows of the truth table that a pod can show, as seen from outside."""

ROWS = {
    "Starting": {"/startupz": 503, "/livez": 200, "/readyz": 503, "traffic": 503},
    "Ready": {"/startupz": 200, "/livez": 200, "/readyz": 200, "traffic": 200},
    "Degraded": {"/startupz": 200, "/livez": 200, "/readyz": 200, "traffic": 200},
    "Failing": {"/startupz": 200, "/livez": 200, "/readyz": 503, "traffic": 503},
    "vital dead": {"/startupz": 200, "/livez": 503, "/readyz": 503, "traffic": 503},
    "Draining": {"/startupz": 200, "/livez": 200, "/readyz": 503, "traffic": 200},
}


def row(name, on_admin_port):
    """What a pod answers, asked for probes at the port of its application or of its
    admin listener. At the first, the deploy example has chosen 404 for a drain, which
    is as red as 503."""
    if name == "Draining" and not on_admin_port:
        return {**ROWS[name], "/readyz": 404}
    return ROWS[name]
