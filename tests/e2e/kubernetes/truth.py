"""The rows of the truth table that a pod can show, as seen from outside."""

# With the deploy example's one choice of its own: /readyz is 404 while it drains,
# which is as red as 503.
ROWS = {
    "Starting": {"/startupz": 503, "/livez": 200, "/readyz": 503, "traffic": 503},
    "Ready": {"/startupz": 200, "/livez": 200, "/readyz": 200, "traffic": 200},
    "Degraded": {"/startupz": 200, "/livez": 200, "/readyz": 200, "traffic": 200},
    "Failing": {"/startupz": 200, "/livez": 200, "/readyz": 503, "traffic": 503},
    "vital dead": {"/startupz": 200, "/livez": 503, "/readyz": 503, "traffic": 503},
    "Draining": {"/startupz": 200, "/livez": 200, "/readyz": 404, "traffic": 200},
}
