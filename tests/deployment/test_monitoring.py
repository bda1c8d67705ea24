"""The alerts for Prometheus and the dashboard for Grafana: promtool runs the tests of the alerts, each name of a metric exists, and each
alert has its section in the documentation."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.metrics.catalogue import METRICS, Kind, Source
from tests.deployment.tools import DEPLOY, tool
from tests.unit.project.sources import ROOT

PROMETHEUS = DEPLOY / "prometheus"
RULES, TESTS, DASHBOARD = PROMETHEUS / "rules.yml", PROMETHEUS / "rules_test.yml", DEPLOY / "grafana/jobwright.json"
RUNBOOKS = ROOT / "docs/how-to/alerts.md"
CASES = ("fires", "resolves", "stays quiet")
# Metrics that Prometheus or its client library makes.
OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
NAMED = re.compile(r"\b(?:jobwright|schedules?|distributed|process)_\w+|\bup\b(?=\{)")


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def cases() -> dict[str, list[tuple[str, list[bool]]]]:
    """The tests of each alert: the case, and whether the alert is expected at each of its times, in order."""
    found: dict[str, list[tuple[str, list[bool]]]] = defaultdict(list)
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        alert, case = test["name"].split(" ", 1)
        assert {check["alertname"] for check in test["alert_rule_test"]} == {alert}
        times = [int(check["eval_time"].removesuffix("m")) for check in test["alert_rule_test"]]
        assert times == sorted(times)
        found[alert].append((case, ["exp_alerts" in check for check in test["alert_rule_test"]]))
    return found


def series() -> set[str]:
    """Every name that a query may use."""
    names = set(OTHERS)
    for metric in METRICS:
        names |= {f"{metric.name}_{end}" for end in ("bucket", "sum", "count")} if metric.kind is Kind.HISTOGRAM else {metric.name}
    return names


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the rules and of the dashboard, with where it stands."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert", rule.get("record")), rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("promtool", package="prometheus"), *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_rules_pass_their_tests() -> None:
    checked = run(PROMETHEUS, "check", "rules", RULES.name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run(PROMETHEUS, "test", "rules", TESTS.name)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_fires_resolves_and_stays_quiet_in_its_tests() -> None:
    found = cases()
    assert set(found) == set(alerts())
    for alert, tests in found.items():
        assert [case for case, _ in tests] == list(CASES), alert
        expected = dict(tests)
        assert any(expected["fires"]), alert
        assert any(expected["resolves"]), alert
        assert not expected["resolves"][-1], f"{alert}: it does not resolve"
        assert not any(expected["stays quiet"]), alert


@pytest.mark.parametrize("always", [True, False], ids=["always", "never"])
def test_the_tests_notice_an_alert_that_fires_always_or_never(always: bool, tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule |= {"expr": "vector(1)" if always else "vector(1) > 2", "for": "0s"}
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    tests = yaml.safe_load(TESTS.read_text())
    tests["tests"] = [test for test in tests["tests"] if test["name"].endswith("stays quiet" if always else "fires")]
    (tmp_path / TESTS.name).write_text(yaml.safe_dump(tests))
    tested = run(tmp_path, "test", "rules", TESTS.name)
    assert set(re.findall(r"alertname: (\w+)", tested.stdout + tested.stderr)) == set(alerts())


def test_every_metric_of_a_query_exists() -> None:
    known = series()
    recorded = {rule["record"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "record" in rule}
    for where, query in queries():
        plain = re.sub(r'"[^"]*"|\b(?:by|without|on)\s*\([^)]*\)', "", query)
        named = set(NAMED.findall(plain)) - {name.partition(":")[0] for name in recorded}
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", plain))
        assert named - labels <= known, f"{where}: {named - known}"
        assert re.findall(r"jobwright:[\w:]+", plain) == [] or set(re.findall(r"jobwright:[\w:]+", plain)) <= recorded, where


def test_metrics_of_the_database_are_not_added_up_over_processes() -> None:
    """Every process shows the same values: their sum would grow with the number of processes."""
    shared = {metric.name for metric in METRICS if metric.source is Source.DATABASE}
    for where, query in queries():
        for name in set(NAMED.findall(query)) & shared:
            assert re.search(r"(?:max|min)(?: by \([^)]*\))? ?\((?:\w+\()?" + name, query), f"{where}: {name}"


def test_queries_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    variables = {"$job": "jobwright", "$__rate_interval": "1m"}
    rules = []
    for number, (_, query) in enumerate(queries()):
        for name, value in variables.items():
            query = query.replace(name, value)
        rules.append({"record": f"query:{number}", "expr": query})
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = run(tmp_path, "check", "rules", "queries.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_has_a_section_that_its_link_leads_to() -> None:
    headings = re.findall(r"^## Alert: (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert headings == list(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"/help/how-to/alerts#alert-{name.lower()}"
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_each_metric_is_shown_or_alerted() -> None:
    """A metric that nobody looks at is a cost without a use."""
    used = set().union(*(set(NAMED.findall(query)) for _, query in queries()))
    ends = r"_(?:bucket|sum|count)$"
    unused = {metric.name for metric in METRICS} - {re.sub(ends, "", name) for name in used} - used
    # What the best scheduler of all says is what matters; the carrier of an item shows with its age; a job's last run is for queries.
    assert unused == {
        "jobwright_tick_age_seconds",
        "jobwright_outbox_items_total",
        "jobwright_outbox_waiting",
        "jobwright_job_last_run_timestamp_seconds",
    }
