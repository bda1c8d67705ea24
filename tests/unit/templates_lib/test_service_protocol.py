"""JobResults: what is wrong with one, what is kept of it, and what the policy for failed items makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from templates_lib.base import TemplateError
from templates_lib.service_protocol import failure_reason, judge, result_data, result_problems, triggered_by_word


@pytest.mark.parametrize(
    ("result", "pointers"),
    [
        ({"success": True}, []),
        ({"success": False, "itemsProcessed": 3, "itemsFailed": 0, "error": None, "metadata": None, "other": 1}, []),
        ({"success": True, "itemsProcessed": 1200.0, "metadata": {"a": []}, "error": "x"}, []),
        ({}, ["/success"]),
        ({"success": "yes", "itemsFailed": -1}, ["/success", "/itemsFailed"]),
        (
            {"success": True, "itemsProcessed": 1.5, "itemsSucceeded": "2", "itemsFailed": True},
            ["/itemsProcessed", "/itemsSucceeded", "/itemsFailed"],
        ),
        ({"success": True, "itemsProcessed": 2**53, "error": 5, "metadata": []}, ["/itemsProcessed", "/error", "/metadata"]),
        ({"success": True, "itemsProcessed": float("nan")}, ["/itemsProcessed"]),
        ([], [""]),
        (None, [""]),
    ],
)
def test_what_is_wrong_is_named(result: Any, pointers: list[str]) -> None:
    assert [pointer for pointer, _ in result_problems(result)] == pointers


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        ({"itemsProcessed": 10, "itemsSucceeded": 8, "itemsFailed": 2}, (10, 8, 2)),
        ({"itemsProcessed": 10}, (10, 10, 0)),
        ({"itemsSucceeded": 8, "itemsFailed": 2}, (10, 8, 2)),
        ({"itemsProcessed": 10, "itemsFailed": 2}, (10, 8, 2)),
        ({"itemsFailed": 2}, (2, 0, 2)),
    ],
)
def test_missing_counts_follow_from_the_others(result: dict[str, Any], counts: tuple[int, int, int]) -> None:
    assert tuple(result_data(result).values()) == counts


SOME = {"itemsProcessed": 1200, "itemsSucceeded": 1198, "itemsFailed": 2}


@pytest.mark.parametrize(
    ("result", "policy", "told"),
    [
        ({"success": True, **SOME}, "warn", "1,198 of 1,200 items"),
        ({"success": True, **SOME}, "succeed", "1,198 of 1,200 items"),
        ({"success": True, **SOME}, "fail", TemplateError("2 of 1,200 items failed")),
        ({"success": True, **SOME, "error": "full"}, "fail", TemplateError("2 of 1,200 items failed: full")),
        ({"success": False, **SOME}, "warn", TemplateError("The service says: 2 of 1,200 items failed")),
        ({"success": False, **SOME, "error": "full"}, "fail", TemplateError("The service says: full")),
        ({"success": False, **SOME, "error": "full"}, "succeed", "1,198 of 1,200 items"),
        ({"success": False}, "succeed", TemplateError("The service says that the run failed")),
        ({"success": True}, "fail", "The service reported success"),
    ],
)
def test_the_policy_for_failed_items(result: dict[str, Any], policy: str, told: str | TemplateError) -> None:
    warnings: list[str] = []
    if isinstance(told, TemplateError):
        with pytest.raises(TemplateError) as failed:
            judge(result, policy, warn=warnings.append)
        assert (str(failed.value), failed.value.permanent, failed.value.data) == (str(told), False, result_data(result))
    else:
        judged = judge(result, policy, warn=warnings.append)
        assert (judged.message, judged.data) == (told, result_data(result))
    assert warnings == (["2 of 1,200 items failed"] if policy == "warn" and result["success"] else [])


@pytest.mark.parametrize(
    ("body", "text", "reason"),
    [
        ({"error": " no rows "}, "", "no rows"),
        ({"detail": "d", "title": "t"}, "", "d"),
        ({"title": "t", "error": 5}, "", "t"),
        ({"error": ""}, '{"error": ""}', '{"error": ""}'),
        (None, "x" * 400, "x" * 300),
        (["a"], "", ""),
    ],
)
def test_the_reason_of_a_refusal(body: Any, text: str, reason: str) -> None:
    assert failure_reason(body, text) == reason


def test_the_words_for_the_cause() -> None:
    words = {cause: triggered_by_word(cause) for cause in ("schedule", "backfill", "dependency", "manual", "retry", "api", "webhook")}
    assert words == {
        "schedule": "scheduler",
        "backfill": "scheduler",
        "dependency": "scheduler",
        "manual": "admin",
        "retry": "admin",
        "api": "manual",
        "webhook": "manual",
    }
