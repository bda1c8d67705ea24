"""Exports of Cronicle with 200 events, with list pages of negative numbers, and of xyOps."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

TIMINGS: tuple[Any, ...] = (
    {"minutes": [0]},
    {"hours": [4], "minutes": [0]},
    {"hours": [2], "minutes": [30]},
    {"minutes": [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]},
    {"weekdays": [1, 2, 3, 4, 5], "hours": [8, 20], "minutes": [15]},
    {"weekdays": [0], "hours": [3], "minutes": [10]},
    {"days": [1], "hours": [5], "minutes": [0]},
    {"days": [-1], "hours": [23], "minutes": [55]},
    {"days": [1, 2, 3, 4, 5, 6, 7], "weekdays": [1], "hours": [6], "minutes": [0]},
    {"months": [3, 6, 9, 12], "days": [-1], "hours": [12], "minutes": [0]},
    {"years": [2027], "months": [1], "days": [15], "hours": [9], "minutes": [0]},
    {"days": [-2, 15], "hours": [7], "minutes": [45]},
    {},
    False,
)
SCRIPTS = (
    "#!/bin/sh\n\n# Nightly\n/opt/backup/run --all\n",
    "#!/bin/bash\ncd /srv/shop && /usr/bin/php cron.php --quiet\n",
    "#!/bin/sh\nfind /var/tmp/cache -type f -mtime +7 -delete\n",
    "#!/bin/sh\n/usr/bin/python3 /opt/report/daily.py > /dev/null 2>&1\n",
    "restic backup /home",
)


def event(random: Random, number: int) -> dict[str, Any]:
    """One event of Cronicle."""
    base: dict[str, Any] = {
        "id": f"ek{number:04}abc",
        "title": f"Event {number}",
        "enabled": 0 if number % 20 == 7 else 1,
        "category": "general",
        "target": random.choice(["allgrp", "maingrp", "web1.example.com"]),
        "algo": "random",
        "timing": TIMINGS[number % len(TIMINGS)],
        "timezone": random.choice(["Europe/Berlin", "America/New_York", "UTC"]),
        "catch_up": random.choice([0, 1]),
        "max_children": random.choice([1, 1, 0, 3]),
        "timeout": random.choice([3600, 0, 300]),
        "retries": random.choice([0, 0, 2]),
        "retry_delay": 30,
        "queue": random.choice([0, 0, 1]),
        "queue_max": 1000,
        "notify_success": "",
        "notify_fail": random.choice(["", "ops@example.com", "a@example.com, b@example.com"]),
        "web_hook": random.choice(["", "https://example.com/hooks/x"]),
        "cpu_limit": 100,
        "cpu_sustain": 0,
        "memory_limit": 0,
        "memory_sustain": 0,
        "log_max_size": 0,
        "multiplex": 0,
        "stagger": 0,
        "notes": "",
        "modified": 1_700_000_000 + number,
        "created": 1_600_000_000,
        "username": "admin",
    }
    if number % 5 == 1:
        params = {
            "method": "POST",
            "url": f"https://example.com/hooks/{number}",
            "headers": "User-Agent: Cronicle/1.0",
            "data": '{"a": 1}',
            "timeout": "30",
        }
        return {**base, "plugin": "urlplug", "params": {**params, "follow": 1, "success_match": "", "error_match": ""}}
    if number % 40 == 2:
        return {**base, "plugin": "testplug", "params": {"duration": "10", "progress": 1, "action": "Success"}}
    return {**base, "plugin": "shellplug", "params": {"script": random.choice(SCRIPTS), "annotate": 0, "json": 0}}


def write(file: Path, count: int = 200, seed: int = 3) -> Path:
    """Writes an export of the storage: pages from -2 on, and records of other kinds."""
    random = Random(seed)
    events = [event(random, number) for number in range(count)]
    pages = [events[start : start + 70] for start in range(0, count, 70)]
    lines = ["# Cronicle Data Export v1.0", "# Hostname: web1", ""]
    lines += [
        'global/users - {"type":"list","length":1,"page_size":100,"first_page":0,"last_page":0}',
        'users/admin - {"username":"admin"}',
    ]
    head = {"type": "list", "length": count, "page_size": 70, "first_page": -2, "last_page": len(pages) - 3}
    lines.append(f"global/schedule - {json.dumps(head)}")
    for place, items in enumerate(pages, start=-2):
        lines.append(f"global/schedule/{place} - {json.dumps({'type': 'list_page', 'items': items})}")
    plugin = {"id": "pother", "title": "Other", "command": "/opt/plugins/other.js", "enabled": 1}
    lines.append(f"global/plugins - {json.dumps({'type': 'list', 'length': 1, 'page_size': 50})}")
    lines.append(f"global/plugins/0 - {json.dumps({'type': 'list_page', 'items': [plugin]})}")
    file.write_text("\n".join(lines) + "\n")
    return file
