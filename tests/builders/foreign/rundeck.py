"""Exports of Rundeck with 200 jobs: schedules in both forms, options, notifications, nodes."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import yaml

CRONTABS = tuple(
    """
0 0 2 * * ? *
0 30 2 ? * * *
0 0/15 * * * ? *
0 0 8-18 ? * MON-FRI *
0 0 6 ? * 2 *
0 15 4 1 * ? *
0 0 23 L * ? *
0 0 9 LW * ? *
0 0 9 15W * ? *
0 0 18 ? * 6#3 *
0 0 18 ? * 6L *
0 0 0 L-3 * ? *
0 0 12 1/5 * ?
30 45 3 ? 1,4,7,10 SUN *
0 0 22-2 * * ? *
0 0 5 ? * FRI-MON *
0 0 7 1 1 ? 2027-2029
""".strip().splitlines()
)
FORMS: tuple[dict[str, Any], ...] = (
    {"time": {"hour": "05", "minute": "30", "seconds": "0"}, "month": "*", "weekday": {"day": "MON,WED"}, "year": "*"},
    {"time": {"hour": "*", "minute": "10", "seconds": "0"}, "month": "*", "weekday": {"day": "*"}, "year": "*"},
    {"time": {"hour": "01", "minute": "0", "seconds": "0"}, "month": "*", "dayofmonth": {"day": "1"}, "year": "*"},
    {"time": {"hour": "*/4", "minute": "0", "seconds": "0"}, "month": "JAN-JUN", "weekday": {"day": "7"}, "year": "*"},
)
COMMANDS = (
    "/opt/backup/run --all",
    "/usr/bin/php /var/www/cron.php --site ${option.site}",
    "curl -fsS https://example.com/hooks/nightly",
    "find /var/tmp/cache -type f -mtime +14 -delete",
    "cd /srv/shop && ./bin/console cache:clear",
    "/usr/bin/python3 /opt/report/daily.py --site ${option.site} --days ${option.days}",
    "sudo systemctl restart shop",
    "restic backup /home > /var/log/restic.log 2>&1",
)


def job(random: Random, number: int) -> dict[str, Any]:
    """One job."""
    identity = f"{random.getrandbits(32):08x}-0000-4000-8000-{number:012}"
    schedule = {"crontab": CRONTABS[number % len(CRONTABS)]} if number % 3 else FORMS[number % len(FORMS)]
    step: dict[str, Any] = {"exec": random.choice(COMMANDS)}
    if number % 12 == 4:
        step = {"script": "#!/bin/bash\nset -e\n/opt/tools/cleanup --days 30\n"}
    if number % 12 == 5:
        step = {"scriptfile": "/opt/tools/rotate.sh", "args": "--site ${option.site}"}
    return {
        "uuid": identity,
        "id": identity,
        "name": f"Job {number}",
        "group": random.choice(["nightly", "shop/reports", ""]),
        "description": "made for a test",
        "executionEnabled": number % 30 != 7,
        "scheduleEnabled": number % 20 != 3,
        "schedule": schedule,
        **random.choice([{}, {"timeZone": "Europe/Berlin"}, {"timeZone": "UTC"}]),
        "loglevel": "INFO",
        "loglimit": "10MB",
        "loglimitAction": "halt",
        "defaultTab": "nodes",
        "nodeFilterEditable": False,
        **random.choice([{}, {"nodefilters": {"dispatch": {"threadcount": "1"}, "filter": "name: web1"}}]),
        **random.choice([{}, {"multipleExecutions": True}, {"retry": {"delay": "30s", "retry": "2"}}, {"retry": "1"}]),
        **random.choice([{}, {"timeout": "30m"}, {"timeout": "1h30m"}, {"timeout": "600"}]),
        "notification": random.choice(
            [
                {},
                {"onfailure": {"email": {"recipients": "ops@example.com,a@example.com", "subject": "x"}}},
                {"onsuccess": {"urls": "https://example.com"}},
            ]
        ),
        "options": [
            {"name": "site", "value": "main shop"},
            {"name": "days", "value": "30", "required": True, "enforced": True, "values": ["30", "60"]},
        ],
        "sequence": {"keepgoing": False, "strategy": "node-first", "commands": [step]},
    }


def write(file: Path, count: int = 200, seed: int = 4) -> Path:
    """Writes an export in YAML."""
    random = Random(seed)
    file.write_text(yaml.safe_dump([job(random, number) for number in range(count)], sort_keys=False))
    return file
