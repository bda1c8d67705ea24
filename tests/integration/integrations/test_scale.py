"""Many services with many jobs: registering the same again takes a fraction of the work, and writes nothing."""

from __future__ import annotations

import time
from typing import Any

from app.factory import Store
from tests.conftest import Api
from tests.integration.integrations.test_registration import REGISTER, written
from tests.lengths import LONG

SERVICES, JOBS = 200 if LONG else 20, 50
LESS = 4  # times less work is a registration that changes nothing; `make bench` measures the seconds of both


def registration(service: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"service-{service}-job-{number}",
            "serviceName": f"service-{service}",
            "serviceUrl": f"https://service-{service}.example.com",
            "displayName": f"Job {number}",
            "description": "Send weekly email with trending content",
            "cronExpression": f"{number} 9 * * MON",
            "jobType": "email",
            "config": {"batchSize": 100, "number": number},
        }
        for number in range(JOBS)
    ]


def test_many_services_register_many_jobs(bot_api: Api, store: Store) -> None:
    bodies = [registration(service) for service in range(SERVICES)]
    began = time.process_time()
    answers = [bot_api("POST", REGISTER, body) for body in bodies]
    first = time.process_time() - began
    assert sum(len(answer.json["created"]) for answer in answers) == SERVICES * JOBS
    before = {name: len(rows) for name, rows in written(store).items()}
    assert before["dynamic_jobs"] == SERVICES * JOBS
    began = time.process_time()
    answers = [bot_api("POST", REGISTER, body) for body in bodies]
    again = time.process_time() - began
    assert sum(len(answer.json["unchanged"]) for answer in answers) == SERVICES * JOBS
    assert {name: len(rows) for name, rows in written(store).items()} == before
    assert again * LESS < first, "of the processor of this process, whatever the machine"
