"""Presets of policies: values that go well together, under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from templates_lib.messages import Said, say

Policies = Mapping[str, Any]
PRESET_FIELDS = ("retry_policy", "overlap", "misfire", "priority")  # that the default preset sets, beside the number of runs at once


@dataclass(frozen=True, slots=True)
class PolicyPreset:
    """`values` are the fields that the preset sets, as the body of a job has them; other policies stay as they are."""

    name: str
    title: Said
    help: Said
    values: Policies

    def applied(self, policies: Policies) -> dict[str, Any]:
        """Returns the policies with the values of the preset."""
        return _merged(policies, self.values)

    def matches(self, policies: Policies) -> bool:
        """Returns True if the policies already have all values of the preset."""
        return _merged(policies, self.values) == dict(policies)


def presets(defaults: Policies) -> Sequence[PolicyPreset]:
    """Returns the presets. `defaults` are the policies of a job that says nothing about them."""
    return (
        PolicyPreset(
            "default",
            say("Default"),
            say("Suits most jobs: a few retries, one run at a time, and one run that makes up for all missed runs"),
            {**{name: defaults[name] for name in PRESET_FIELDS}, "concurrency": {"max_instances": 1}},
        ),
        PolicyPreset(
            "gentle",
            say("Gentle"),
            say("For systems that are slow or often unavailable: more retries, longer delays, low priority"),
            {
                "retry_policy": {
                    "max_retries": 5,
                    "retry_delay_seconds": 600,
                    "backoff": "exponential",
                    "max_delay_seconds": 21_600,
                    "retry_on": ["error", "timeout", "lost_worker"],
                },
                "overlap": "skip",
                "misfire": {"policy": "once", "grace_seconds": 3_600},
                "concurrency": {"max_instances": 1},
                "priority": 3,
            },
        ),
        PolicyPreset(
            "never_twice",
            say("Never twice"),
            say("For jobs that must not repeat their work: no retries, no catching up, one run at a time"),
            {
                "retry_policy": {"max_retries": 0},
                "overlap": "skip",
                "misfire": {"policy": "skip"},
                "concurrency": {"max_instances": 1},
            },
        ),
    )


def matching(policies: Policies, offered: Sequence[PolicyPreset]) -> PolicyPreset | None:
    """Returns the first preset whose values the policies have; None if somebody has set others."""
    return next((preset for preset in offered if preset.matches(policies)), None)


def _merged(policies: Policies, values: Policies) -> dict[str, Any]:
    """Returns the policies with other values; members of a group that are not named stay."""
    merged = dict(policies)
    for name, value in values.items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
