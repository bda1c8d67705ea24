"""The samples of the documents whose clients call Jobwright, as they stand, against the served product.

Only the address of the server and the values in angle brackets or braces are filled in. Where a document sends no token, it comes from the
configuration of curl, as a token of a service account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.builders.service import Answer, Call, Receiver, receiver
from tests.integration.compat.documents import HYBRID, REGISTRY, TYPES, sample
from tests.integration.compat.served import Documents, javascript, serving
from tests.support import eventually

CRAWLED = json.loads(sample(TYPES, "Job Result Structure").partition("// Example for crawl job:")[2])


def crawled(call: Call) -> Answer:
    """The result of the document."""
    return Answer(200, CRAWLED)


@pytest.fixture(scope="module")
def crawler() -> Iterator[Receiver]:
    with receiver(crawled) as service:
        yield service


@pytest.fixture(scope="module")
def documents(mongod: str, tmp_path_factory: pytest.TempPathFactory, crawler: Receiver) -> Iterator[Documents]:
    with serving(mongod, tmp_path_factory.mktemp("documents"), CRAWLER_SERVICE_URL=crawler.address) as served:
        yield served


# -- Hybrid Job Management Approach -----------------------------------------------------------------------------------

EMAIL_JOB = (HYBRID, "Adding a New Email Job (Developer)", 3)


def test_the_job_appears_in_the_scheduler(documents: Documents) -> None:
    documents.job(name="monthly-recap", schedule={"type": "cron", "expression": "0 10 1 * *"})
    line = documents.curls(*EMAIL_JOB)[0]
    assert documents.curl(line)["error"] == "Missing authorization"
    assert "monthly-recap" in [job["name"] for job in documents.curl(line, known=True)["jobs"]]


def test_the_trigger_sends_json_without_saying_so(documents: Documents) -> None:
    documents.job(name="monthly-recap")
    answer = documents.curl(documents.curls(*EMAIL_JOB)[1], TOKEN=documents.token)
    assert documents.ended(answer["executionId"])["triggered_by_user"] == "admin-user-id"


def test_the_calls_of_the_scheduler_api(documents: Documents) -> None:
    """`SchedulerAPI` of the document, with the routes that the document "Scheduler Service" gives its methods."""
    for name in ("weekly-trending-digest", "re-engagement-email", "job-name"):
        documents.job(name=name, schedule={"type": "cron", "expression": "0 9 * * MON"}, enabled=name != "weekly-trending-digest")
    headings = ("Enable/Disable Jobs", "Edit Cron Expressions", "Manual Triggers", "Monitor Execution")
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
        + "\n".join(sample(HYBRID, heading) for heading in headings)
        + """
const digest = await SchedulerAPI.getJob('weekly-trending-digest', token);
const engagement = await SchedulerAPI.getJob('re-engagement-email', token);
console.log(JSON.stringify({ digest, engagement, history, stats }));
"""
    )
    told = documents.node(script)
    assert (told["digest"]["enabled"], told["digest"]["cronExpression"], told["engagement"]["enabled"]) == (True, "0 9 * * TUE", False)
    assert (told["history"]["executions"], told["history"]["pagination"]["total"]) == ([], 0)
    assert (told["stats"]["stats"]["totalRuns"], told["stats"]["period"]["days"]) == (0, 30)


def test_jobs_and_executions_have_the_columns_of_the_tables(documents: Documents) -> None:
    documents.job(name="columns")
    run = documents.admin.post("/api/jobs/columns/trigger").json()["executionId"]
    documents.ended(run)
    schedules, executions = sample(HYBRID, "Database Schema").split("CREATE TABLE job_executions")
    job = documents.admin.get("/api/jobs/columns").json()
    # A service with an address is one member here: `service`.
    assert set(_columns(schedules)) - {"service_name", "service_url"} <= job.keys()
    row = documents.admin.get("/api/jobs/columns/history").json()["executions"][0]
    assert set(_columns(executions)) <= row.keys()
    typed = documents.admin.get(f"/api/jobs/{run}").json()
    assert set(_columns(sample(TYPES, "`scheduled_jobs` Table"))) <= typed.keys()


def _columns(table: str) -> list[str]:
    return re.findall(r"^  (\w+) [A-Z]", table, re.MULTILINE)


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
    run = admin.post(f"{path}/run", params={"wait": 30}).json()  # without `wait`, it may not have started yet
    assert (run["message"], bool(run["execution_id"])) == ("Job started", True)
    documents.ended(run["execution_id"])
    # Query: ?status=failed&limit=50
    # Response: { executions: [...], total: 123 }
    assert {"executions", "total"} <= set(admin.get(f"{path}/executions?status=failed&limit=50").json())
    # Response: { execution: {...}, logs: [...] }
    shown = admin.get(f"/api/admin/job-executions/{run['execution_id']}").json()
    assert set(shown) == {"execution", "logs"}
    execution = json.loads(sample(REGISTRY, "2. `job_executions` Collection"))
    assert execution.keys() - {"logs"} <= shown["execution"].keys()
    assert shown["logs"][0].keys() >= execution["logs"][0].keys()
    # Response: { templates: [...] } and { template: {...}, schema: {...} }
    assert set(admin.get("/api/admin/job-templates").json()) == {"templates"}
    template = admin.get("/api/admin/job-templates/database_cleanup").json()
    assert {"template", "schema"} <= set(template)
    assert json.loads(sample(REGISTRY, "3. `job_templates` Collection (Metadata)")).keys() <= template["template"].keys()
    # Response: { message: "Job deleted" }
    assert admin.delete(path).json() == {"message": "Job deleted"}


MIGRATED = {
    "test_scheduler": {},
    "data_cleanup": {"connection": "registry", "collection": "users", "condition": {"lastActive": {"$lt": "6 months ago"}}},
    "auto_delete_resolved_tickets": {
        "connection": "registry",
        "collection": "tickets",
        "older_than_days": 30,
        "statuses": ["resolved"],
    },
}


def test_the_jobs_of_the_migration(documents: Documents) -> None:
    """`JobRegistry.create_job(…)` of the document; the parameters say on what the templates work."""
    calls: list[dict[str, Any]] = []

    class JobRegistry:
        @staticmethod
        def create_job(**call: Any) -> None:
            calls.append(call)

    templates = dict.fromkeys(("TestSchedulerTemplate", "DatabaseCleanupTemplate", "TicketCleanupTemplate"), object)
    exec(sample(REGISTRY, "Step 2: Gradual Migration"), {"JobRegistry": JobRegistry, **templates})  # noqa: S102 - the sample as it stands
    settings = {"uri": "mongodb://127.0.0.1:1/app", "database": "app"}
    documents.admin.post("/api/admin/connections", json={"name": "registry", "kind": "mongodb", "settings": settings})
    for call in calls:
        answer = documents.admin.post("/api/admin/scheduler-jobs", json={**call, "parameters": MIGRATED[call["name"]]})
        assert answer.status_code == 201, answer.text
        stored = answer.json()["job"]["schedule"]
        assert call["schedule"] in ({"interval_seconds": stored.get("interval_seconds")}, {"cron": stored.get("expression")})
    assert [call["name"] for call in calls] == list(MIGRATED)


def test_the_expressions_of_the_cron_reference(documents: Documents) -> None:
    lines = sample(REGISTRY, "B. Cron Expression Reference").partition("Examples:\n")[2].splitlines()
    expressions = [re.split(r"\s{2,}", line)[0] for line in lines]
    assert len(expressions) == 5
    for expression in expressions:
        body = {"name": expression, "template_type": "noop", "schedule": {"type": "cron", "expression": expression}}
        answer = documents.admin.post("/api/admin/scheduler-jobs", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["job"]["next_run_at"]


# -- Scheduler Service: Complete Documentation ------------------------------------------------------------------------


def test_health(documents: Documents) -> None:
    answer = documents.curl(documents.curls(TYPES, "Health Monitoring")[0])
    expected = json.loads(sample(TYPES, "Health Check", 2))
    assert (answer.pop("timestamp") != "", answer) == (True, {name: expected[name] for name in ("status", "service")})


def test_a_test_job_is_triggered_and_its_status_is_checked(documents: Documents, crawler: Receiver) -> None:
    """The job `crawl_pending` is there because the environment has the address of the crawler."""
    trigger, check = documents.curls(TYPES, "Local Testing")
    job = documents.curl(trigger, test_token=documents.token)
    assert job.keys() >= json.loads(sample(TYPES, "Trigger Job", 2)).keys()
    assert job["status"] == "running"
    assert documents.ended(job["jobId"])["triggered_by_user"] == "test_user"
    shown = documents.curl(check, test_token=documents.token, job_id=job["jobId"])
    expected = json.loads(sample(TYPES, "Get Job Status", 2))
    assert shown.keys() >= expected.keys()
    assert (shown["jobType"], shown["status"]) == (expected["jobType"], expected["status"])
    assert shown["result"].items() >= {**expected["result"], **CRAWLED}.items()
    called = crawler.calls[-1]
    assert (called.path, called.body["config"]["batchSize"], called.body["triggeredByUser"]) == ("/api/crawl/batch", 100, "test_user")


def test_the_requests_of_the_api_endpoints(documents: Documents) -> None:
    with httpx.Client(base_url=documents.address, headers={"Authorization": f"Bearer {documents.token}"}, timeout=60) as client:

        def send(heading: str, **values: str) -> Any:
            head, _, body = sample(TYPES, heading).partition("\n\n")
            method, path = head.splitlines()[0].split(" ")
            for name, value in values.items():
                path = path.replace(f":{name}", value)
            return client.request(method, path, content=body, headers={"Content-Type": "application/json"} if body else {}).json()

        assert send("Health Check")["status"] == "healthy"
        started = send("Trigger Job")
        documents.ended(started["jobId"])
        assert send("Get Job Status", jobId=started["jobId"])["startedBy"] == "user_2abc123"
        listed = send("List Jobs")
    assert set(listed) == {"jobs", "total", "page", "limit"}
    assert (listed["page"], listed["limit"], listed["jobs"][0]["id"]) == (1, 50, started["jobId"])
    assert listed["jobs"][0].keys() >= {"id", "jobType", "status", "startedAt", "completedAt", "result"}


def test_the_panel_of_the_dashboard(documents: Documents) -> None:
    """app/admin/components/SchedulerPanel.tsx"""
    script = (
        f"""
const SCHEDULER_API = '{documents.address}', user = {{ id: 'user_2abc123' }}, getToken = async () => '{documents.token}';
const monitorJob = (id) => console.log(JSON.stringify({{ id }}));
"""
        + sample(TYPES, "Manual Job Triggering")
        + "\nawait triggerCrawlJob();"
    )
    followed = documents.node(script)
    assert documents.ended(followed["id"])["triggered_by_user"] == "user_2abc123"


def test_an_answer_is_read_as_a_result(documents: Documents) -> None:
    """`await response.json() as JobResult`, of the route that shows an execution."""
    run = documents.admin.post("/api/jobs/trigger", json={"jobType": "crawl_pending"}).json()["jobId"]
    documents.ended(run)
    heading = "2. TypeScript Compilation Error: `Type 'unknown' not assignable to 'JobResult'`"
    right = javascript(sample(TYPES, heading)).splitlines()[-1]
    script = f"""
const response = await fetch('{documents.address}/api/jobs/{run}', {{ headers: {{ Authorization: 'Bearer {documents.token}' }} }});
{right}
console.log(JSON.stringify(result.result));
"""
    assert documents.node(script).items() >= CRAWLED.items()


def test_the_refusals_of_the_middleware(documents: Documents) -> None:
    refusals = re.findall(r"reply\.code\((\d+)\)\.send\(\{ error: '([^']+)' \}\)", sample(TYPES, "Clerk Integration"))
    anonymous = httpx.get(f"{documents.address}/api/jobs", timeout=60)
    made = documents.admin.post("/api/admin/users", json={"email": "user@example.com", "role": "user", "kind": "service"}).json()["user"]
    token = documents.admin.post(f"/api/admin/users/{made['id']}/tokens", json={"name": "t", "scopes": ["read"]}).json()["text"]
    refused = httpx.get(f"{documents.address}/api/jobs", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert [(str(answer.status_code), answer.json()["error"]) for answer in (anonymous, refused)] == refusals


@pytest.mark.parametrize("path", ["/health", "/health/detailed", "/ready", "/live"])
def test_the_probes_need_no_token(documents: Documents, path: str) -> None:
    def answers() -> bool:
        return httpx.get(f"{documents.address}{path}", timeout=60).status_code == 200

    assert eventually(answers)
