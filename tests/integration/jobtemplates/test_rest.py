"""Templates over REST: derive, publish, impact, move, roll back, share; presets."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.sharing import _signed_bytes, public_text
from app.services import Services
from tests.conftest import Api
from tests.support import OTHER_KEY

T = "/api/admin/job-templates"
DEFINITION = {
    "name": "Quick beat",
    "description": "A beat that is short",
    "category": "Checks",
    "icon": "zap",
    "help": "# Quick\n\nFor **beats**.",
    "parameters": {"outcome": {"value": "success"}, "memory_mb": {"hidden": True}, "seconds": {"narrow": {"maximum": 10}, "default": 1}},
}


def derive(api: Api, **changes: Any) -> None:
    answer = api("POST", T, {"type": "quick_beat", "base": "test_scheduler", "definition": {**DEFINITION, **changes}})
    assert answer.status_code == 201, answer.json
    assert api("POST", f"{T}/quick_beat/publish", {"note": "first"}).status_code == 200


def test_the_whole_way_of_a_derived_template(api: Api) -> None:
    derive(api)
    shown = {one["_id"]: one for one in api("GET", T).json["templates"]}
    assert (
        shown["quick_beat"] | {"base": "test_scheduler", "state": "published", "version": 1, "jobs": 0, "enabled": True}
        == shown["quick_beat"]
    )
    schema = api("GET", f"{T}/quick_beat/schema").json["schema"]
    assert schema["properties"]["memory_mb"]["x-hidden"] is True
    job = {"name": "beat", "template_type": "quick_beat", "parameters": {"seconds": 2}, "schedule": {"type": "manual"}}
    made = api("POST", "/api/admin/scheduler-jobs", job).json["job"]
    assert made["parameters"] == {
        "seconds": 2,
        "outcome": "success",
        "message": "The scheduler is alive",
        "succeeds_at": 2,
        "log_lines": 0,
        "memory_mb": 0,
    }
    refused = api("POST", "/api/admin/scheduler-jobs", {**job, "name": "b", "parameters": {"seconds": 11, "outcome": "error"}})
    assert sorted(one["pointer"] for one in refused.json["errors"]) == ["/parameters/outcome", "/parameters/seconds"]

    record = api("GET", f"{T}/quick_beat/record")
    tighter = {**DEFINITION, "parameters": {**DEFINITION["parameters"], "seconds": {"narrow": {"maximum": 1}}}}  # type: ignore[dict-item]
    stale = api("PUT", f"{T}/quick_beat/draft", tighter, If_Match='"1"')
    assert stale.status_code == 412
    assert api("PUT", f"{T}/quick_beat/draft", tighter, If_Match=record.headers["ETag"]).status_code == 200
    impact = api("GET", f"{T}/quick_beat/impact?to=draft").json
    assert impact["to"] == 2
    assert [(one["effect"], one["errors"][0]["pointer"]) for one in impact["jobs"]] == [("needs_input", "/parameters/seconds")]
    assert api("POST", f"{T}/quick_beat/publish").status_code == 200
    assert api("GET", f"{T}/quick_beat/impact").json["to"] == 2
    assert api("GET", f"{T}/quick_beat/impact?to=nonsense").status_code == 422
    nothing = api("POST", f"{T}/quick_beat/moves", {}).json
    assert nothing == {"move": None, "results": []}
    moved = api("POST", f"{T}/quick_beat/moves", {"jobs": [made["_id"]], "parameters": {made["_id"]: {**made["parameters"], "seconds": 1}}})
    assert [one["outcome"] for one in moved.json["results"]] == ["moved"]
    assert api("GET", f"/api/admin/scheduler-jobs/{made['_id']}").json["job"]["template_version"] == 2
    assert [one["_id"] for one in api("GET", f"{T}/quick_beat/moves").json["moves"]] == [moved.json["move"]["_id"]]
    back = api("POST", f"{T}/quick_beat/moves/{moved.json['move']['_id']}/roll-back")
    assert [one["outcome"] for one in back.json["results"]] == ["restored"]
    assert api("GET", f"/api/admin/scheduler-jobs/{made['_id']}").json["job"]["parameters"] == made["parameters"]
    assert api("POST", f"{T}/quick_beat/moves/none/roll-back").status_code == 404

    assert api("PUT", f"{T}/quick_beat/versions/1", {"state": "retired"}).status_code == 409
    assert api("PUT", f"{T}/quick_beat/versions/2", {"state": "deprecated"}).status_code == 200
    assert api("GET", f"{T}/quick_beat").json["template"]["version"] == 1
    assert api("PUT", f"{T}/quick_beat/versions/9", {"state": "deprecated"}).status_code == 404
    assert api("PUT", f"{T}/quick_beat/versions/1", {"state": "draft"}).status_code == 422
    assert api("DELETE", f"{T}/quick_beat/draft").status_code == 409
    assert api("PUT", f"{T}/test_scheduler/draft", DEFINITION).status_code == 409


@pytest.mark.parametrize(
    "body",
    [[], {}, {"type": ["x"], "base": {}}, {"type": "okay", "base": ["noop"]}, {"type": "okay", "base": "test_scheduler", "definition": 5}],
)
def test_what_is_no_template_is_refused(api: Api, body: Any) -> None:
    assert api("POST", T, body).status_code == 422


def test_the_standing_of_a_template_that_is_code(api: Api, admin_api: Api) -> None:
    assert api("PUT", f"{T}/test_scheduler/standing", {"enabled": False, "note": "Not now"}).status_code == 200
    assert api("PUT", f"{T}/test_scheduler/standing", {"when_off": "explode"}).status_code == 422
    assert api("PUT", f"{T}/nothing/standing", {}).status_code == 404
    assert admin_api("PUT", f"{T}/test_scheduler/standing", {"enabled": True}).status_code == 403
    refused = admin_api("POST", "/api/admin/scheduler-jobs", {"name": "x", "template_type": "test_scheduler"})
    assert refused.json["errors"] == [{"pointer": "/template_type", "detail": "does not allow new jobs: Scheduler test is disabled"}]
    shown = api("GET", f"{T}/test_scheduler").json["template"]
    assert (shown["enabled"], shown["note"], shown["when_off"]) == (False, "Not now", "keep")


# -- files -------------------------------------------------------------------------------------------------------------


def take(api: Api, text: str, *, dry: bool = False) -> Any:
    return api("POST", f"{T}/import" + ("?dry_run=true" if dry else ""), json.loads(text))


def test_a_file_comes_back_as_it_went_and_says_who_signed_it(
    api: Api, services: Services, super_admin: Actor, settings: Settings, store: Store, clock: ManualClock, catalogue: Catalogue
) -> None:
    derive(api)
    answer = api("GET", f"{T}/quick_beat/export")
    assert answer.headers["Content-Disposition"].endswith('"quick_beat.template.json"')
    text = answer.get_data(as_text=True)
    same = take(api, text, dry=True).json
    assert (same["signed"], same["diff"], same["new"], same["taken"]) == ("installed here", [], False, False)

    # To an installation with another key, which has no such template.
    def elsewhere(**changes: Any) -> Services:
        other = replace(settings, secret_key=OTHER_KEY, **changes)
        return build_services(other, store, clock=clock, catalogue=catalogue)

    store.database["job_templates"].delete_many({})
    assert elsewhere().sharing.look(super_admin, text).signed == "stranger"
    trusting = elsewhere(trusted_template_keys=(services.sharing.key,))
    assert trusting.sharing.look(super_admin, text).signed == "trusted"
    row = trusting.sharing.take(super_admin, text)
    assert row["draft"]["definition"] == DEFINITION
    assert row["versions"] == []
    unsigned = json.loads(text)
    del unsigned["signature"]
    changed = {**unsigned, "definition": {**DEFINITION, "name": "Another"}}
    found = trusting.sharing.look(super_admin, json.dumps(changed))
    assert (found.signed, [one["field"] for one in found.diff]) == ("nobody", ["/name"])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda file: file["definition"].update(name="Forged"), "/signature"),
        (lambda file: file.update(base="webhook_trigger"), "/signature"),
        (lambda file: file["signature"].update(value="AAAA"), "/signature"),
        (lambda file: file["signature"].update(key="not base64!"), "/signature"),
        (lambda file: file["signature"].update(key=base64.b64encode(b"short").decode()), "/signature"),
        (lambda file: file.update(more=1), "/more"),
        (lambda file: file.update(type="Bad Type"), "/type"),
        (lambda file: file.pop("definition"), "/definition"),
    ],
)
def test_a_file_that_was_changed_is_refused(api: Api, change: Any, pointer: str) -> None:
    derive(api)
    file = json.loads(api("GET", f"{T}/quick_beat/export").get_data(as_text=True))
    change(file)
    answer = take(api, json.dumps(file))
    assert answer.status_code == 422
    assert pointer in [one["pointer"] for one in answer.json["errors"]]


@pytest.mark.parametrize(
    ("file", "pointer"),
    [
        ({"type": "test_scheduler"}, "/type"),
        ({"base": "unheard_of"}, "/base"),
        ({"definition": {**DEFINITION, "parameters": {"none": {"value": 1}}}}, "/definition/parameters/none"),
        ({"type": "quick_beat", "base": "webhook_trigger", "definition": {**DEFINITION, "parameters": {}}}, "/base"),
    ],
)
def test_a_signed_file_that_does_not_fit_here_is_told_why(
    api: Api, services: Services, super_admin: Actor, file: Any, pointer: str
) -> None:
    derive(api)
    whole = {"jobwright_template": 1, "type": "other", "base": "test_scheduler", "base_version": 1, "definition": DEFINITION, **file}
    key = Ed25519PrivateKey.generate()
    whole["signature"] = {"key": public_text(key.public_key()), "value": base64.b64encode(key.sign(_signed_bytes(whole))).decode()}
    told = take(api, json.dumps(whole), dry=True).json
    assert told["signed"] == "stranger"
    assert pointer in [one["pointer"] for one in told["errors"]]
    assert take(api, json.dumps(whole)).status_code == 422


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1, "a": 2}', "[" * 200, "x" * 1_100_000])
def test_what_is_no_file_is_refused(services: Services, super_admin: Actor, text: str) -> None:
    from app.errors import ValidationFailed

    with pytest.raises(ValidationFailed):
        services.sharing.look(super_admin, text)


# -- presets -----------------------------------------------------------------------------------------------------------


def test_presets_are_ones_own_or_shared_and_hold_no_secret(api: Api, admin_api: Api) -> None:
    parameters = {
        "url": "https://example.com/",
        "secret": "in the clear",
        "headers": [{"name": "a", "value": "b"}],
        "auth": {"type": "bearer", "token": "t0ken"},
    }
    saved = admin_api("PUT", f"{T}/webhook_trigger/presets/mine", {"parameters": parameters})
    assert saved.status_code == 200
    assert "clear" not in saved.get_data(as_text=True)
    assert "t0ken" not in saved.get_data(as_text=True)
    assert api("GET", f"{T}/webhook_trigger/presets").json == {"presets": []}
    assert (
        admin_api("PUT", f"{T}/webhook_trigger/presets/ours", {"parameters": {"url": "https://example.com/a"}, "shared": True}).status_code
        == 200
    )
    assert [one["name"] for one in api("GET", f"{T}/webhook_trigger/presets").json["presets"]] == ["ours"]
    again = admin_api("PUT", f"{T}/webhook_trigger/presets/mine", {"parameters": {"url": "https://example.com/b"}}).json["preset"]
    own = admin_api("GET", f"{T}/webhook_trigger/presets").json["presets"]
    assert [(one["name"], one["parameters"]["url"]) for one in own] == [
        ("mine", "https://example.com/b"),
        ("ours", "https://example.com/a"),
    ]
    assert api("DELETE", f"{T}/webhook_trigger/presets/mine").status_code == 404
    assert api("DELETE", f"{T}/webhook_trigger/presets/{again['_id']}").status_code == 404
    shared = next(one["_id"] for one in own if one["name"] == "ours")
    assert admin_api("DELETE", f"{T}/webhook_trigger/presets/mine").status_code == 200
    assert api("DELETE", f"{T}/webhook_trigger/presets/{shared}").status_code == 200  # a super-admin, of what is shared
    assert admin_api("PUT", f"{T}/webhook_trigger/presets/%20", {"parameters": {}}).status_code == 422
    assert admin_api("PUT", f"{T}/nothing/presets/x", {"parameters": {}}).status_code == 404
    assert admin_api("PUT", f"{T}/webhook_trigger/presets/x", {"parameters": {"url": "x" * 300_000}}).status_code == 422
