"""The samples of the documents that are services: they register jobs as they stand, and the served product calls them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.builders.service import Answer, Call, receiver
from tests.integration.compat.documents import HYBRID, NAMED, TYPES, sample
from tests.integration.compat.served import Documents, javascript, serving, tool
from tests.support import eventually

RESULT = {
    "success": True,
    "itemsProcessed": 3,
    "itemsSucceeded": 2,
    "itemsFailed": 1,
    "error": "one bounced",
    "metadata": {"usersCount": 3},
}
# What a service of the document has around its samples: a server for `/api/jobs/:name/execute`, and a token for the scheduler.
AROUND = """
import http from 'node:http';
const TOKEN = process.env.TOKEN, SCHEDULER = process.env.SCHEDULER, jobs = {}, sendAs = globalThis.fetch;
const say = (what) => console.log(JSON.stringify(what));
globalThis.fetch = async (url, options) => {
  const answer = await sendAs(url, { ...options, headers: { ...options.headers, Authorization: `Bearer ${TOKEN}` } });
  say({ registered: await answer.json(), status: answer.status });
  return answer;
};
let broken = false;
const getActiveUsers = async () => [{ id: 1 }, { id: 2 }, { id: 3 }];
const sendMonthlyRecap = async (user) => { if (broken && user.id === 2) throw new Error('bounced'); };
console.error = () => {};
const server = http.createServer((request, answer) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', async () => {
    if (request.method !== 'POST') { answer.end(); return; }  // a probe
    const name = request.url.split('/')[3], context = JSON.parse(body);
    say({ path: request.url, context });
    broken = context.triggeredByUser === 'breaker';
    answer.setHeader('Content-Type', 'application/json');
    answer.end(JSON.stringify((await jobs[name].execute(context)) ?? { success: true }));
  });
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const HERE = `http://127.0.0.1:${server.address().port}`;
const registerScheduledJobs = async (all) => {
  for (const job of all) jobs[job.name] = job;
  await fetch(`${SCHEDULER}/api/jobs/register`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(all.map(({ name, displayName, description, cronExpression, jobType }) => (
      { name, displayName, description, cronExpression, jobType, serviceName: 'email-service', serviceUrl: HERE }))),
  });
};
class ReEngagementJob {
  name = 're-engagement-email'; displayName = 'Re-engagement'; description = ''; cronExpression = '0 9 * * *'; jobType = 'email';
  async execute() { return { success: true, itemsProcessed: 0, itemsSucceeded: 0, itemsFailed: 0 }; }
}
"""


class Program:
    """A service of the document that runs, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], told: Path) -> None:
        self._process, self._told = process, told

    def lines(self, member: str) -> list[dict[str, Any]]:
        assert self._process.poll() is None, self._told.read_text()
        whole = [line for line in self._told.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if member in line]

    def registered(self, count: int) -> dict[str, Any]:
        """The answer to its `count`-th registration."""
        return eventually(lambda: self.lines("registered")[count - 1 : count] or None)[0]


@contextmanager
def program(documents: Documents, folder: Path, script: str) -> Iterator[Program]:
    told = folder / "told"
    with told.open("wb") as out:
        process = subprocess.Popen(
            [tool("node"), "--input-type=module", "-e", AROUND + script],
            stdout=out,
            stderr=out,
            env={"TOKEN": documents.token, "SCHEDULER": documents.address, "PATH": "/usr/bin"},
        )
        try:
            yield Program(process, told)
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def documents(mongod: str, tmp_path: Path) -> Iterator[Documents]:
    with serving(mongod, tmp_path, JOBWRIGHT_ALLOWED_HOSTS="127.0.0.1") as served:
        yield served


def test_a_service_of_the_document_registers_its_jobs_and_does_them(documents: Documents, tmp_path: Path) -> None:
    """Hybrid Job Management Approach: the classes, the registration of one job and of a list, the execution."""
    auto, new = (HYBRID, "Service Auto-Registration"), (HYBRID, "Adding a New Email Job (Developer)")
    single = documents.here(sample(*auto, 2)).replace("'http://email-service:7006'", "HERE").replace("{ ... }", "{ batchSize: 10 }")
    script = "\n".join(javascript(text) for text in (sample(*auto, 1), sample(*new, 1), single, sample(*new, 2)))
    with program(documents, tmp_path, script) as service:
        first = service.registered(1)
        assert (first["status"], first["registered"]["created"]) == (200, ["weekly-trending-digest"]), first
        jobs = {job["name"]: job for job in documents.admin.get("/api/jobs").json()["jobs"]}
        digest = jobs["weekly-trending-digest"]
        assert (digest["enabled"], digest["cronExpression"], digest["displayName"], digest["jobType"], digest["service"]) == (
            False,
            "0 9 * * MON",
            "Weekly Trending Digest",
            "email",
            "email-service",
        )
        both = service.registered(2)
        assert both["status"] == 200, both
        # Test locally: the job appears in the scheduler, and is triggered by hand.
        listed, trigger = documents.curls(*new, 3)
        assert "monthly-recap" in [job["name"] for job in documents.curl(listed, known=True)["jobs"]]
        run = documents.curl(trigger, TOKEN=documents.token)["executionId"]
        execution = documents.ended(run)
        assert (execution["status"], execution["result"]["itemsSucceeded"], execution["result"]["metadata"]) == (
            "success",
            3,
            {"usersCount": 3},
        )
        context = service.lines("context")[-1]
        assert (context["path"], context["context"]["executionId"]) == ("/api/jobs/monthly-recap/execute", run)
        failing = documents.curl(trigger.replace("admin-user-id", "breaker"), TOKEN=documents.token)["executionId"]
        eventually(lambda: documents.admin.get(f"/api/jobs/{failing}").json()["status"] == "running")
        eventually(lambda: "1 of 3 items failed" in documents.admin.get(f"/api/admin/job-executions/{failing}").text)


def test_a_job_with_service_and_endpoint_is_called_with_the_context_of_the_document(mongod: str, tmp_path: Path) -> None:
    """Scheduler Service: the registration, JobContext and JobResult. The address of the service is EMAIL_SERVICE_URL."""
    with (
        receiver(lambda call: Answer(200, RESULT)) as email,
        serving(mongod, tmp_path, EMAIL_SERVICE_URL=email.address) as documents,
    ):
        script = f"""
const sendAs = globalThis.fetch, answers = [];
globalThis.fetch = async (url, options) => {{
  const sent = {{ ...options, headers: {{ ...options.headers, Authorization: 'Bearer {documents.token}' }} }};
  answers.push(await (await sendAs(url, sent)).json());
}};
{documents.here(sample(NAMED, "Job Registration Example"))}
{documents.here(sample(NAMED, "Job Registration Example"))}
console.log(JSON.stringify(answers));
"""
        first, again = documents.node(script)
        assert (first["created"], again["created"], again["unchanged"]) == (["weekly-digest"], [], ["weekly-digest"])
        job = documents.admin.get("/api/jobs/weekly-digest").json()
        told = (job["enabled"], job["cron_expression"], job["service"], job["endpoint"], job["config"])
        expected = {"batchSize": 100, "maxUsers": 10000}
        assert told == (True, "0 9 * * 1", "email-service", "/api/jobs/weekly-digest", expected)
        answer = documents.admin.post("/api/jobs/weekly-digest/trigger?wait=60").json()
        call = email.calls[-1]
        context = sample(NAMED, "Job Endpoint Contract", 1)
        assert set(re.findall(r"(\w+)\??:", context)) <= call.body.keys()
        told = (call.path, call.body["jobName"], call.body["config"], call.body["executionId"], call.body["triggeredBy"])
        assert told == ("/api/jobs/weekly-digest", "weekly-digest", expected, answer["executionId"], "manual")
        result = sample(NAMED, "Job Endpoint Contract", 2)
        assert set(re.findall(r"(\w+)\??:", result)) == RESULT.keys()
        assert answer["result"].items() >= {**RESULT, "error": None}.items()
        row = documents.admin.get("/api/jobs/weekly-digest/history").json()["executions"][0]
        assert (row["items_processed"], row["items_succeeded"], row["items_failed"], row["metadata"]) == (3, 2, 1, {"usersCount": 3})


def test_the_job_types_of_the_services_in_the_environment_call_what_the_document_names(mongod: str, tmp_path: Path) -> None:
    paths: dict[str, str] = {}

    def done(call: Call) -> Answer:
        paths[call.body["jobName"]] = call.path
        return Answer(200, {"success": True, "itemsProcessed": 1})

    with receiver(done) as service:
        urls = {f"{name}_SERVICE_URL": service.address for name in ("CRAWLER", "EMAIL", "DISCOVERY")}
        with serving(mongod, tmp_path, **urls) as documents:
            crons = dict(re.findall(r"'(\w+)': '([^']+)'", sample(TYPES, "Automatic Scheduling")))
            jobs = {job["name"]: job for job in documents.admin.get("/api/jobs").json()["jobs"]}
            assert {name: jobs[name]["cron_expression"] for name in ("crawl_pending", "weekly_digest")}.items() <= crons.items()
            assert not jobs["crawl_pending"]["enabled"]
            assert "cleanup_old_data" not in jobs, "it needs a database that nobody has named"
            communication = sample(TYPES, "Service Communication")
            crawled, mailed = re.findall(r"(?:Crawler|Email) Service \(\d+\) - POST (\S+)", communication)
            for name in sorted(jobs):
                run = documents.admin.post("/api/jobs/trigger", json={"jobType": name}).json()["jobId"]
                assert documents.ended(run)["status"] == "success"
            mails = ("weekly_digest", "submission_notifications", "moderation_updates")
            discovery = {name: f"/api/jobs/{name}/execute" for name in ("update_metrics", "recalculate_trending")}
            assert paths == {"crawl_pending": crawled, **dict.fromkeys(mails, mailed), **discovery}
            # A super-admin installs what is left once there is a connection.
            settings = {"uri": "mongodb://127.0.0.1:1/app", "database": "app"}
            documents.admin.post("/api/admin/connections", json={"name": "default", "kind": "mongodb", "settings": settings})
            results = documents.admin.post("/api/admin/job-types/install").json()["results"]
            created = [result["name"] for result in results if result["result"] == "created"]
            assert created == ["cleanup_old_data", "archive_old_jobs"]
            cleanup = documents.admin.get("/api/admin/scheduler-jobs", params={"name": "cleanup_old_data"}).json()["jobs"][0]
            assert (cleanup["parameters"]["connection"], cleanup["schedule"]["expression"]) == ("default", crons["cleanup_old_data"])
