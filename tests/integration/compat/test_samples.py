"""No sample and no route of the documents is forgotten: each sample names the test that runs it, or says why none does."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from flask import Flask

from tests.integration.compat.documents import COMMANDS, HYBRID, NAMED, REGISTRY, TYPES, Place, curl_lines, routes, samples

ROOT = Path(__file__).parents[3]
SERVED, SERVICES, BUS = (f"tests/integration/compat/{name}.py" for name in ("test_served", "test_served_services", "test_served_commands"))
DOCUMENT = "tests/integration/compat/test_job_documents.py::test_the_job_of_the_document_is_accepted_as_it_stands"
SCHEDULER_API = f"{SERVED}::test_the_calls_of_the_scheduler_api"
PROGRAM = f"{SERVICES}::test_a_service_of_the_document_registers_its_jobs_and_does_them"
CONTEXT = f"{SERVICES}::test_a_job_with_service_and_endpoint_is_called_with_the_context_of_the_document"
JOB_TYPES = f"{SERVICES}::test_the_job_types_of_the_services_in_the_environment_call_what_the_document_names"
REST = f"{SERVED}::test_the_rest_endpoints_have_the_queries_and_envelopes_of_the_document"
COLUMNS = f"{SERVED}::test_jobs_and_executions_have_the_columns_of_the_tables"
STATUS = f"{SERVED}::test_a_test_job_is_triggered_and_its_status_is_checked"
REQUESTS = f"{SERVED}::test_the_requests_of_the_api_endpoints"
PANEL = f"{SERVED}::test_the_panel_of_the_dashboard"
READ = f"{SERVED}::test_an_answer_is_read_as_a_result"
COMMAND_SCHEDULES = f"{BUS}::test_the_schedules_of_the_document_are_created_triggered_and_paused"
SETTINGS = f"{BUS}::test_the_service_has_the_name_and_the_settings_of_the_document"
NEW_JOB = "Adding a New Email Job (Developer)"

TESTED: dict[Place, str] = {
    Place(HYBRID, "Enable/Disable Jobs"): SCHEDULER_API,
    Place(HYBRID, "Edit Cron Expressions"): SCHEDULER_API,
    Place(HYBRID, "Manual Triggers"): SCHEDULER_API,
    Place(HYBRID, "Monitor Execution"): SCHEDULER_API,
    Place(HYBRID, "Service Auto-Registration", 1): PROGRAM,
    Place(HYBRID, "Service Auto-Registration", 2): PROGRAM,
    Place(HYBRID, "Database Schema"): COLUMNS,
    Place(HYBRID, NEW_JOB, 1): PROGRAM,
    Place(HYBRID, NEW_JOB, 2): PROGRAM,
    Place(HYBRID, NEW_JOB, 3): f"{SERVED}::test_the_trigger_sends_json_without_saying_so",
    Place(NAMED, "Environment Variables"): CONTEXT,
    Place(NAMED, "Job Registration Example"): CONTEXT,
    Place(NAMED, "Job Endpoint Contract", 1): CONTEXT,
    Place(NAMED, "Job Endpoint Contract", 2): CONTEXT,
    Place(REGISTRY, "1. `dynamic_jobs` Collection"): DOCUMENT,
    Place(REGISTRY, "2. `job_executions` Collection"): REST,
    Place(REGISTRY, "3. `job_templates` Collection (Metadata)"): REST,
    Place(REGISTRY, "Job Management"): REST,
    Place(REGISTRY, "Job Templates"): REST,
    Place(REGISTRY, "Job Executions"): REST,
    Place(REGISTRY, "Step 2: Gradual Migration"): f"{SERVED}::test_the_jobs_of_the_migration",
    Place(REGISTRY, "B. Cron Expression Reference"): f"{SERVED}::test_the_expressions_of_the_cron_reference",
    Place(TYPES, "Service Communication"): JOB_TYPES,
    Place(TYPES, "`scheduled_jobs` Table"): COLUMNS,
    Place(TYPES, "Job Result Structure"): STATUS,
    Place(TYPES, "Manual Job Triggering", 1): PANEL,
    Place(TYPES, "Manual Job Triggering", 2): STATUS,
    Place(TYPES, "Clerk Integration"): f"{SERVED}::test_the_refusals_of_the_middleware",
    Place(TYPES, "User ID Resolution Fix"): "tests/integration/compat/test_named_jobs.py::test_a_subject_of_single_sign_on_is_the_account",
    Place(TYPES, "Health Check", 1): REQUESTS,
    Place(TYPES, "Health Check", 2): f"{SERVED}::test_health",
    Place(TYPES, "Trigger Job", 1): REQUESTS,
    Place(TYPES, "Trigger Job", 2): STATUS,
    Place(TYPES, "Get Job Status", 1): REQUESTS,
    Place(TYPES, "Get Job Status", 2): STATUS,
    Place(TYPES, "List Jobs", 1): REQUESTS,
    Place(TYPES, "List Jobs", 2): REQUESTS,
    Place(TYPES, "Local Testing"): STATUS,
    Place(TYPES, "Health Monitoring"): f"{SERVED}::test_health",
    Place(TYPES, "2. TypeScript Compilation Error: `Type 'unknown' not assignable to 'JobResult'`"): READ,
    Place(TYPES, "Automatic Scheduling"): JOB_TYPES,
    Place(COMMANDS, "Environment Variables"): SETTINGS,
    Place(COMMANDS, "Create a Daily Email Schedule"): COMMAND_SCHEDULES,
    Place(COMMANDS, "Create an Interval Schedule"): COMMAND_SCHEDULES,
    Place(COMMANDS, "Trigger Immediate Execution"): COMMAND_SCHEDULES,
    Place(COMMANDS, "Bulk Pause Schedules"): COMMAND_SCHEDULES,
}
DEVELOPMENT = "builds, runs or deploys the other scheduler, not a client of it"
DESIGN = "a sketch of the other scheduler's own code or database"
COMMENTS = "names a rule in comments and has no code"
UNTESTED: dict[Place, str] = {
    Place(HYBRID, NEW_JOB, 4): DEVELOPMENT,
    Place(NAMED, "Architecture"): "a drawing",
    Place(NAMED, "Development"): DEVELOPMENT,
    Place(NAMED, "Docker"): DEVELOPMENT,
    Place(REGISTRY, "Current Architecture"): "a drawing",
    Place(REGISTRY, "High-Level Architecture"): "a drawing",
    Place(REGISTRY, "1. Job Template Library"): DESIGN,
    Place(REGISTRY, "2. Job Registry Service"): DESIGN,
    Place(REGISTRY, "3. Job Executor Engine"): DESIGN,
    **{Place(REGISTRY, "Security Measures", number): COMMENTS for number in (1, 2, 3, 4)},
    Place(REGISTRY, "Unit Tests"): DESIGN,
    Place(REGISTRY, "Integration Tests"): DESIGN,
    Place(REGISTRY, "Load Tests"): COMMENTS,
    Place(REGISTRY, "Logging Strategy"): DESIGN,
    Place(REGISTRY, "Database Cleanup Template"): DESIGN,
    Place(REGISTRY, "Email Notification Template"): DESIGN,
    **{Place(TYPES, heading): COMMENTS for heading in ("1. Content Crawling Jobs", "2. Email Notification Jobs", "3. Maintenance Jobs")},
    Place(TYPES, "Multi-Stage Dockerfile"): DEVELOPMENT,
    Place(TYPES, "Kubernetes Deployment"): DEVELOPMENT,
    Place(TYPES, "GitHub Actions Deployment"): DEVELOPMENT,
    **{Place(TYPES, "3. Kubernetes Health Probes Fail", number): DEVELOPMENT for number in (1, 2)},
    Place(TYPES, '4. Jobs Stuck in "Running" Status'): DEVELOPMENT,
    Place(TYPES, "5. Authentication Failures"): "asks the provider of identities",
    Place(TYPES, "Job Prioritization"): DESIGN,
    Place(TYPES, "Distributed Job Execution"): DESIGN,
    Place(COMMANDS, "Setup"): DEVELOPMENT,
    Place(COMMANDS, "Testing"): DEVELOPMENT,
    Place(COMMANDS, "Docker"): DEVELOPMENT,
}


def test_each_sample_is_tested_or_says_why_not() -> None:
    assert not TESTED.keys() & UNTESTED.keys()
    assert TESTED.keys() | UNTESTED.keys() == samples().keys()


@pytest.mark.parametrize("where", sorted(set(TESTED.values())))
def test_the_test_of_a_sample_exists(where: str) -> None:
    path, _, name = where.partition("::")
    assert name in functions(path)


def test_each_call_of_curl_to_the_scheduler_is_tested() -> None:
    """Only a line that calls another program may be left out."""
    lines = {place: curl_lines(text) for place, text in samples().items()}
    assert sum(map(len, lines.values())) == sum(text.count("\ncurl ") + text.startswith("curl ") for text in samples().values()) == 10
    untested = [line for place in UNTESTED for line in lines[place]]
    assert [re.search(r"https?://[^/\s]+", line)[0] for line in untested] == ["https://api.clerk.dev"]  # type: ignore[index]


def test_each_route_of_the_documents_is_served(app: Flask) -> None:
    """Whatever the documents and Jobwright call what is in the path."""
    served = {(method, _shape(str(rule))) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    named = {(method, _shape(path)) for method, path in routes()}
    assert len(named) > 30
    other_services = {("POST", "/api/crawl/batch"), ("POST", "/api/send"), ("GET", "/api/users/*")}
    assert named - served - other_services == set()


def _shape(path: str) -> str:
    return re.sub(r":\w+|\{\w+\}|<[^>]+>", "*", path).rstrip("/")


@cache
def functions(path: str) -> set[str]:
    module = ast.parse((ROOT / path).read_text())
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
