"""The queries of the alert rules and of the dashboard, compared with the metrics."""

import json
import re

# Labels that Prometheus adds.
ADDED = {"job", "instance"}


class Unknown(Exception):
    pass


def of_dashboard(path):
    """Returns the queries of all panels, by the title of the panel."""
    dashboard = json.loads(path.read_text())
    queries = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
            queries.append((f"panel {panel['title']}", query))
    return queries


def of_rules(prometheus):
    """Returns the queries of all rules, which Prometheus has loaded."""
    queries = []
    for group in prometheus.get("rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] == "err":
                raise Unknown(f"rule {rule['name']}: {rule['lastError']}")
            queries.append((f"rule {rule['name']}", rule["query"]))
    return queries


def check(prometheus, queries, labels_of, measured):
    """Checks that each query is valid, that its metrics have the labels that it names,
    and that there are series with the values that it names. Returns how many values
    were found."""
    found = 0
    all_labels = ADDED.union(*labels_of.values())
    for where, query in queries:
        prometheus.get("query", query=query)
        for listed in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query):
            for label in re.split(r"\s*,\s*", listed.strip()):
                if label not in all_labels:
                    raise Unknown(f"{where}: no metric has the label {label}")
        selectors = re.findall(r"(readiness_\w+)(?:\{([^}]*)\})?", query)
        if not selectors:
            raise Unknown(f"{where} reads no metric")
        for name, matchers in selectors:
            family = re.sub("_(bucket|sum|count)$", "", name)
            if name not in labels_of and family not in labels_of:
                raise Unknown(f"{where}: no metric is named {name}")
            known = ADDED | (labels_of.get(name) or labels_of.get(family) or set())
            for label, operator, value in re.findall(r'(\w+)\s*(=~|!=|=)\s*"([^"]*)"', matchers):
                if label not in known:
                    raise Unknown(f"{where}: {name} has no label {label}")
                for word in value.split("|"):
                    if family not in measured or word == ".*":
                        continue
                    selector = f'{name}{{{label}="{word}"}}'
                    if not prometheus.get("series", **{"match[]": selector}):
                        raise Unknown(f"{where}: no series is {selector}")
                    found += 1
    return found


def anchors(guide):
    """Returns the anchors that rustdoc makes of the headings of a page."""
    headings = re.findall(r"^//! # (.*)$", guide.read_text(), re.M)
    return {re.sub(r"[^a-z0-9]+", "-", heading.lower()) for heading in headings}
