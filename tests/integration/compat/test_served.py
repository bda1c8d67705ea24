"""Every curl line and every script of the documents, as it stands, against the served product.

Only the address of the server and the values in angle brackets or braces are filled in. The documents for commands send no token: there it
comes from the configuration of curl, as a token of a service account.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import ADMIN, Service, eventually

SERVICE_EMAIL = "scheduler-client@example.com"
PRODUCT: dict[str, str] = {"SERVICE_NAME": "scheduler-service"}


def tool(name: str) -> str:
    """The path of a program that the documents use."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {name}: CI must have it")
        pytest.skip(f"no {name}")
    return path


class Documents:
    """The served product, and who its clients are."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.address, self.admin = service.address, service.api()
        made = self.admin.post("/api/admin/users", json={"email": SERVICE_EMAIL, "role": "admin", "kind": "service"}).json()["user"]
        scopes = ["read", "write", "run", "services", "enable"]
        self.token: str = self.admin.post(f"/api/admin/users/{made['id']}/tokens", json={"name": "t", "scopes": scopes}).json()["text"]
        self.person: str = service.token(ADMIN)
        self._with_token = folder / "with-token"
        self._with_token.mkdir(parents=True)
        (self._with_token / ".curlrc").write_text(f'header = "Authorization: Bearer {self.token}"\n')

    def curl(self, line: str, *, known: bool = False) -> Any:
        """The JSON that a line of a document is answered with. With `known`, the configuration of curl has the token."""
        script = line
        for port in ("7005", "7007", "8008"):
            script = script.replace(f"http://localhost:{port}", self.address)
        words = [tool("curl"), "-s", *shlex.split(script.replace("\\\n", " "))[1:]]
        home = {"CURL_HOME": str(self._with_token), "HOME": str(self._with_token)} if known else {"CURL_HOME": "/nonexistent"}
        ran = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **home}, check=True)
        return json.loads(ran.stdout)

    def node(self, script: str) -> Any:
        """The JSON that a script prints."""
        ran = subprocess.run([tool("node"), "--input-type=module", "-e", script], capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def job(self, **body: Any) -> str:
        answer = self.admin.post("/api/admin/scheduler-jobs", json={"template_type": "noop", **body})
        assert answer.status_code in {201, 409}, answer.text
        return str(self.admin.get("/api/admin/scheduler-jobs", params={"name": body["name"]}).json()["jobs"][0]["id"])

    def ended(self, execution_id: str) -> dict[str, Any]:
        def shown() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.admin.get(f"/api/admin/job-executions/{execution_id}?wait=30").json()["execution"]
            return execution if execution["ended"] else None

        execution = eventually(shown)
        assert execution is not None
        return execution


@pytest.fixture(scope="module")
def documents(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    folder = tmp_path_factory.mktemp("documents")
    service = Service("serve", uri=mongod, database=f"t_{folder.name}", data_dir=folder / "d", warm=True, **PRODUCT).wait_ready()
    served = Documents(service, folder)
    yield served
    served.admin.close()
    service.stop()


@pytest.fixture(scope="module")
def bus(documents: Documents) -> None:
    """The connection through which the commands of the document go."""
    settings = {"servers": ["nats://127.0.0.1:4222"], "subjects": ["cmd.>"]}
    made = documents.admin.post("/api/admin/connections", json={"name": "default", "kind": "nats", "settings": settings})
    assert made.status_code == 201, made.text


# -- Hybrid Job Management Approach -----------------------------------------------------------------------------------


def test_the_job_appears_in_the_scheduler(documents: Documents) -> None:
    documents.job(name="monthly-recap", schedule={"type": "cron", "expression": "0 10 1 * *"})
    line = "curl http://localhost:7007/api/jobs"
    assert documents.curl(line)["error"] == "Missing authorization"
    assert "monthly-recap" in [job["name"] for job in documents.curl(line, known=True)["jobs"]]


def test_the_trigger_sends_json_without_saying_so(documents: Documents) -> None:
    documents.job(name="monthly-recap")
    line = r"""curl -X POST http://localhost:7007/api/jobs/monthly-recap/trigger \
  -H "Authorization: Bearer $TOKEN" \
  -d '{"userId":"admin-user-id"}'"""
    answer = documents.curl(line.replace("$TOKEN", documents.token))
    assert documents.ended(answer["executionId"])["triggered_by_user"] == "admin-user-id"


def test_the_calls_of_the_scheduler_api(documents: Documents) -> None:
    """`SchedulerAPI` of the document, with the routes that the document "Scheduler Service" gives its methods."""
    for name in ("weekly-trending-digest", "re-engagement-email", "job-name"):
        documents.job(name=name, schedule={"type": "cron", "expression": "0 9 * * MON"}, enabled=name != "weekly-trending-digest")
    script = (
        f"""
const base = '{documents.address}/api/jobs', token = '{documents.token}', userId = 'admin-user-id';
const call = async (method, path, token, body) => {{
  const answer = await fetch(base + path, {{
    method,
    headers: {{ Authorization: `Bearer ${{token}}`, ...(body ? {{ 'Content-Type': 'application/json' }} : {{}}) }},
    body: body ? JSON.stringify(body) : undefined,
  }});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}};
const SchedulerAPI = {{
  enableJob: (name, token) => call('POST', `/${{name}}/enable`, token),
  disableJob: (name, token) => call('POST', `/${{name}}/disable`, token),
  updateJobCron: (name, cronExpression, token) => call('PUT', `/${{name}}/cron`, token, {{ cronExpression }}),
  triggerJob: (name, userId, token) => call('POST', `/${{name}}/trigger`, token, {{ userId }}),
  getJobHistory: (name, token) => call('GET', `/${{name}}/history`, token),
  getJobStats: (name, token, days) => call('GET', `/${{name}}/stats?days=${{days}}`, token),
  getJob: (name, token) => call('GET', `/${{name}}`, token),
}};
"""
        + """
// Toggle jobs on/off without deployment
await SchedulerAPI.enableJob('weekly-trending-digest', token);
await SchedulerAPI.disableJob('re-engagement-email', token);
// Change schedule without redeployment
await SchedulerAPI.updateJobCron(
  'weekly-trending-digest',
  '0 9 * * TUE', // Change from Monday to Tuesday
  token
);
// Run job immediately for testing
await SchedulerAPI.triggerJob('weekly-trending-digest', userId, token);
// View history and statistics
const history = await SchedulerAPI.getJobHistory('job-name', token);
const stats = await SchedulerAPI.getJobStats('job-name', token, 30);

const digest = await SchedulerAPI.getJob('weekly-trending-digest', token);
const engagement = await SchedulerAPI.getJob('re-engagement-email', token);
console.log(JSON.stringify({ digest, engagement, history, stats }));
"""
    )
    told = documents.node(script)
    assert (told["digest"]["enabled"], told["digest"]["cronExpression"], told["engagement"]["enabled"]) == (True, "0 9 * * TUE", False)
    assert (told["history"]["executions"], told["history"]["pagination"]["total"]) == ([], 0)
    assert (told["stats"]["stats"]["totalRuns"], told["stats"]["period"]["days"]) == (0, 30)


# -- Dynamic Scheduler Job Registry -----------------------------------------------------------------------------------


def test_the_rest_endpoints_have_the_queries_and_envelopes_of_the_document(documents: Documents) -> None:
    admin, jobs = documents.admin, "/api/admin/scheduler-jobs"
    # Query: ?template_type=database_cleanup&enabled=true&page=1&limit=20
    # Response: { jobs: [...], total: 42, page: 1, pages: 3 }
    listed = admin.get(f"{jobs}?template_type=database_cleanup&enabled=true&page=1&limit=20").json()
    assert set(listed) == {"jobs", "total", "page", "pages"}
    # Body: { name, description, template_type, parameters, schedule, ... }
    # Response: { job: {...}, message: "Job created successfully" }
    body = {"name": "Document", "description": "d", "template_type": "noop", "parameters": {}, "schedule": {"interval_seconds": 3600}}
    created = admin.post(jobs, json=body).json()
    assert created["message"] == "Job created successfully"
    path = f"{jobs}/{created['job']['_id']}"
    # Response: { job: {...} }
    assert set(admin.get(path).json()) == {"job"}
    # Body: { enabled: true, schedule: {...} }
    # Response: { job: {...}, message: "Job updated" }
    updated = admin.put(path, json={"enabled": True, "schedule": {"cron": "0 19 * * *"}}).json()
    assert (updated["message"], updated["job"]["schedule"]["expression"]) == ("Job updated", "0 19 * * *")
    # Response: { execution_id: "exec_789", message: "Job started" }
    run = admin.post(f"{path}/run").json()
    assert run["execution_id"]
    documents.ended(run["execution_id"])
    # Query: ?status=failed&limit=50
    # Response: { executions: [...], total: 123 }
    assert {"executions", "total"} <= set(admin.get(f"{path}/executions?status=failed&limit=50").json())
    # Response: { execution: {...}, logs: [...] }
    assert set(admin.get(f"/api/admin/job-executions/{run['execution_id']}").json()) == {"execution", "logs"}
    # Response: { templates: [...] } and { template: {...}, schema: {...} }
    assert set(admin.get("/api/admin/job-templates").json()) == {"templates"}
    assert {"template", "schema"} <= set(admin.get("/api/admin/job-templates/database_cleanup").json())
    # Response: { message: "Job deleted" }
    assert admin.delete(path).json() == {"message": "Job deleted"}


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ({"name": "test_scheduler", "template_type": "test_scheduler", "schedule": {"interval_seconds": 60}}, {}),
        (
            {"name": "data_cleanup", "template_type": "database_cleanup", "schedule": {"interval_seconds": 3600}},
            {"connection": "registry", "collection": "users", "condition": {"lastActive": {"$lt": "6 months ago"}}},
        ),
        (
            {"name": "auto_delete_resolved_tickets", "template_type": "ticket_cleanup", "schedule": {"cron": "0 19 * * *"}},
            {"connection": "registry", "collection": "tickets", "older_than_days": 30, "statuses": ["resolved"]},
        ),
    ],
)
def test_the_jobs_of_the_migration(documents: Documents, call: dict[str, Any], parameters: dict[str, Any]) -> None:
    """`JobRegistry.create_job(…)` of "Step 2: Gradual Migration"; the parameters say on what the new templates work."""
    settings = {"uri": "mongodb://127.0.0.1:1/app", "database": "app"}
    documents.admin.post("/api/admin/connections", json={"name": "registry", "kind": "mongodb", "settings": settings})
    answer = documents.admin.post("/api/admin/scheduler-jobs", json={**call, "parameters": parameters})
    assert answer.status_code == 201, answer.text
    stored = answer.json()["job"]["schedule"]
    assert call["schedule"] in ({"interval_seconds": stored.get("interval_seconds")}, {"cron": stored.get("expression")})


# -- Scheduler Service: Complete Documentation ------------------------------------------------------------------------


def test_health(documents: Documents) -> None:
    # Expected response:
    # {"status":"healthy","service":"scheduler-service","timestamp":"..."}
    answer = documents.curl("curl http://localhost:7005/health")
    assert (answer.pop("timestamp") != "", answer) == (True, {"status": "healthy", "service": "scheduler-service"})


def test_a_test_job_is_triggered_and_its_status_is_checked(documents: Documents) -> None:
    documents.job(name="crawl_pending")
    trigger = r"""curl -X POST http://localhost:7005/api/jobs/trigger \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer <test-token>" \
  -d '{"jobType":"crawl_pending","triggeredBy":"test_user"}'"""
    job = documents.curl(trigger.replace("<test-token>", documents.token))
    assert set(job) >= {"jobId", "status", "startedAt"}
    assert job["status"] == "running"
    assert documents.ended(job["jobId"])["triggered_by_user"] == "test_user"
    check = r"""curl http://localhost:7005/api/jobs/<job-id> \
  -H "Authorization: Bearer <test-token>" """
    shown = documents.curl(check.replace("<job-id>", job["jobId"]).replace("<test-token>", documents.token))
    assert set(shown) >= {"id", "jobType", "status", "startedAt", "completedAt", "result"}
    assert (shown["jobType"], shown["status"], shown["result"]["success"], shown["result"]["errors"]) == (
        "crawl_pending",
        "completed",
        True,
        [],
    )


def test_the_requests_of_the_api_endpoints(documents: Documents) -> None:
    documents.job(name="crawl_pending")
    with httpx.Client(base_url=documents.address, headers={"Authorization": f"Bearer {documents.token}"}, timeout=60) as client:
        started = client.post("/api/jobs/trigger", json={"jobType": "crawl_pending", "triggeredBy": "user_2abc123"}).json()
        documents.ended(started["jobId"])
        # GET /api/jobs?type=crawl_pending&status=completed&limit=50
        listed = client.get("/api/jobs?type=crawl_pending&status=completed&limit=50").json()
    assert set(listed) == {"jobs", "total", "page", "limit"}
    assert (listed["page"], listed["limit"], listed["jobs"][0]["id"]) == (1, 50, started["jobId"])
    assert set(listed["jobs"][0]) >= {"id", "jobType", "status", "startedAt", "completedAt", "result"}


def test_the_panel_of_the_dashboard(documents: Documents) -> None:
    """app/admin/components/SchedulerPanel.tsx"""
    documents.job(name="crawl_pending")
    script = (
        f"""
const SCHEDULER_API = '{documents.address}', user = {{ id: 'user_2abc123' }}, getToken = async () => '{documents.token}';
const monitorJob = (id) => console.log(JSON.stringify({{ id }}));
"""
        + """
const triggerCrawlJob = async () => {
  const response = await fetch(`${SCHEDULER_API}/api/jobs/trigger`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Authorization': `Bearer ${await getToken()}`
    },
    body: JSON.stringify({
      jobType: 'crawl_pending',
      triggeredBy: user.id
    })
  });

  const job = await response.json();
  // Poll for job completion
  monitorJob(job.id);
};
await triggerCrawlJob();
"""
    )
    followed = documents.node(script)
    assert documents.ended(followed["id"])["triggered_by_user"] == "user_2abc123"


def test_the_refusals_of_the_middleware(documents: Documents) -> None:
    anonymous = httpx.get(f"{documents.address}/api/jobs", timeout=60)
    # reply.code(401).send({ error: 'Missing authorization' })
    assert (anonymous.status_code, anonymous.json()["error"]) == (401, "Missing authorization")
    made = documents.admin.post("/api/admin/users", json={"email": "user@example.com", "role": "user", "kind": "service"}).json()["user"]
    token = documents.admin.post(f"/api/admin/users/{made['id']}/tokens", json={"name": "t", "scopes": ["read"]}).json()["text"]
    refused = httpx.get(f"{documents.address}/api/jobs", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    # reply.code(403).send({ error: 'Admin access required' })
    assert (refused.status_code, refused.json()["error"]) == (403, "Admin access required")


# -- Scheduler Service: commands --------------------------------------------------------------------------------------

DAILY = r"""curl -X POST http://localhost:8008/api/v1/schedules \
  -H "Content-Type: application/json" \
  -H "X-Created-By: notification-service" \
  -d '{
    "name": "daily_summary_emails",
    "description": "Send daily summary emails at 9 AM",
    "schedule_type": "cron",
    "cron_expression": "0 9 * * *",
    "timezone": "America/New_York",
    "target_command": "cmd.notification.send.bulk",
    "command_payload": {
      "notification_type": "daily_summary",
      "recipient_filter": "active_users"
    },
    "tags": ["email", "daily", "summary"],
    "priority": 7
  }'"""
HOURLY = r"""curl -X POST http://localhost:8008/api/v1/schedules \
  -H "Content-Type: application/json" \
  -H "X-Created-By: analytics-service" \
  -d '{
    "name": "hourly_metrics_collection",
    "schedule_type": "interval",
    "interval_seconds": 3600,
    "target_command": "cmd.analytics.collect.metrics",
    "command_payload": {
      "metrics": ["sales", "traffic", "conversions"]
    },
    "max_retries": 5
  }'"""
TRIGGER = r"""curl -X POST http://localhost:8008/api/v1/schedules/{schedule_id}/trigger \
  -H "X-Triggered-By: admin" """
BULK_PAUSE = r"""curl -X POST http://localhost:8008/api/v1/schedules/bulk/operation \
  -H "Content-Type: application/json" \
  -H "X-Performed-By: admin" \
  -d '{
    "schedule_ids": ["uuid1", "uuid2", "uuid3"],
    "operation": "pause",
    "reason": "Maintenance window"
  }'"""


@pytest.mark.usefixtures("bus")
def test_the_schedules_of_the_document_are_created_triggered_and_paused(documents: Documents) -> None:
    daily, hourly = documents.curl(DAILY, known=True), documents.curl(HOURLY, known=True)
    assert (daily["created_by"], daily["timezone"], daily["tags"], daily["priority"]) == (
        "notification-service",
        "America/New_York",
        ["email", "daily", "summary"],
        7,
    )
    assert daily["command_payload"] == {"notification_type": "daily_summary", "recipient_filter": "active_users"}
    assert (daily["max_retries"], daily["retry_delay_seconds"], daily["next_run_at"] is not None) == (3, 300, True)
    assert (hourly["created_by"], hourly["interval_seconds"], hourly["max_retries"]) == ("analytics-service", 3600, 5)
    triggered = documents.curl(TRIGGER.replace("{schedule_id}", daily["id"]), known=True)
    assert (triggered["schedule_id"], triggered["triggered_by"]) == (daily["id"], "admin")
    paused = documents.curl(BULK_PAUSE, known=True)
    assert [(result["schedule_id"], result["success"]) for result in paused["results"]] == [
        ("uuid1", False),
        ("uuid2", False),
        ("uuid3", False),
    ]
    real = BULK_PAUSE.replace("uuid1", daily["id"]).replace("uuid2", hourly["id"])
    assert [result["status"] for result in documents.curl(real, known=True)["results"]] == ["done", "done", "failed"]
    shown = documents.admin.get(f"/api/v1/schedules/{daily['id']}").json()
    assert (shown["status"], shown["status_reason"], shown["updated_by"]) == ("paused", "Maintenance window", "admin")


@pytest.mark.parametrize("line", [DAILY, HOURLY, TRIGGER, BULK_PAUSE])
def test_without_a_token_they_are_refused(documents: Documents, line: str) -> None:
    assert documents.curl(line)["error"] == "Missing authorization"


@pytest.mark.parametrize("path", ["/health", "/health/detailed", "/ready", "/live"])
def test_the_probes_need_no_token(documents: Documents, path: str) -> None:
    assert httpx.get(f"{documents.address}{path}", timeout=60).status_code == 200
