"""Manifests with 200 CronJobs: what charts ship, what administrators write."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import yaml

SCHEDULES = tuple(
    """
0 * * * *
*/5 * * * *
*/15 * * * *
0 0 * * *
30 2 * * *
0 3 * * 0
0 6 * * 1-5
15 4 1 * *
0 0 1 1 *
@daily
@hourly
@weekly
0 */6 * * *
0 8,20 * * *
5/20 * * * *
0 12 1,15 * 5
0 0 */2 * *
0 9 ? * MON
30 1 * * SUN
0 22 * * sat,sun
0 5 */2 * 1
17 3 * * 1/2
0 0 31 * ?
""".strip().splitlines()
)


def write(folder: Path, count: int = 200, seed: int = 2) -> Path:
    """Writes a folder: files with several documents, a List, and objects of other kinds."""
    random = Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [cron_job(random, number) for number in range(count)]
    others = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}]
    (folder / "list.json").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": jobs[:60]}))
    (folder / "many.yaml").write_text(yaml.safe_dump_all([*others, *jobs[60:150]]))
    for number, job in enumerate(jobs[150:]):
        (folder / f"one-{number}.yml").write_text(yaml.safe_dump(job))
    (folder / "README.md").write_text("not read")
    return folder


def cron_job(random: Random, number: int) -> dict[str, Any]:
    """One CronJob."""
    container: dict[str, Any] = {
        "name": "main",
        "image": f"registry.example.com/shop/job-{number % 7}:1.{number}",
        "args": ["--days", "30"],
        "env": [
            {"name": "REGION", "value": "eu"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "resources": {"limits": {"memory": "256Mi"}},
    }
    if number % 3:
        container["command"] = random.choice([["/opt/report", "run"], ["python", "-m", "shop.clean"], ["/bin/sh", "-c", "exec /opt/a"]])
    pod = {"restartPolicy": random.choice(["OnFailure", "Never"]), "containers": [container], "serviceAccountName": "jobs"}
    spec: dict[str, Any] = {
        "schedule": SCHEDULES[number % len(SCHEDULES)],
        "jobTemplate": {
            "spec": {"backoffLimit": random.choice([0, 1, 3]), "template": {"metadata": {"labels": {"app": "shop"}}, "spec": pod}}
        },
        **random.choice([{}, {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1}, {"startingDeadlineSeconds": 600}]),
        **random.choice([{}, {"concurrencyPolicy": "Forbid"}, {"concurrencyPolicy": "Replace"}]),
        **random.choice([{}, {"timeZone": "Europe/Berlin"}, {"timeZone": "America/New_York"}, {"suspend": True}]),
    }
    if number % 5 == 0:
        spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] = 1800
    metadata = {"name": f"job-{number}", "namespace": random.choice(["shop", "default", "ops"]), "labels": {"app": "shop"}}
    version = "batch/v1beta1" if number % 10 == 9 else "batch/v1"
    return {"apiVersion": version, "kind": "CronJob", "metadata": metadata, "spec": spec}
