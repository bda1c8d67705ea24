"""Presets of policies: what each sets, and which one a job has."""

from __future__ import annotations

import pytest

from app.jobs.model import JobDefinition, to_plain
from app.jobs.policy_presets import matching, presets
from app.jobs.schema import JobDefinitionSchema

DEFAULTS = {
    name: to_plain(JobDefinition(name="x", template_type="x"))[name]
    for name in ("timeout_seconds", "retry_policy", "overlap", "misfire", "concurrency", "priority", "pause_after_failures")
}
OFFERED = {preset.name: preset for preset in presets(DEFAULTS)}


@pytest.mark.parametrize("name", OFFERED)
def test_a_preset_is_recognised_after_it_was_applied(name: str) -> None:
    policies = OFFERED[name].applied(DEFAULTS)
    found = matching(policies, presets(DEFAULTS))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", OFFERED)
def test_a_preset_gives_policies_that_a_job_may_have(name: str) -> None:
    assert JobDefinitionSchema(partial=True).validate(OFFERED[name].applied(DEFAULTS)) == {}


def test_a_preset_leaves_other_policies_as_they_are() -> None:
    own = {**DEFAULTS, "timeout_seconds": 7_200, "concurrency": {"max_instances": 3, "group": "nightly"}}
    policies = OFFERED["never_twice"].applied(own)
    assert policies["timeout_seconds"] == 7_200
    assert policies["concurrency"] == {"max_instances": 1, "group": "nightly"}
    assert policies["retry_policy"] == {**DEFAULTS["retry_policy"], "max_retries": 0}


def test_values_of_a_persons_own_are_of_no_preset() -> None:
    assert matching({**DEFAULTS, "priority": 9}, presets(DEFAULTS)) is None
