"""Whether and when to try again: a pure decision."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.jobs.model import RetryPolicy
from app.queue.model import AttemptError

# Whatever a policy asks for, an execution is not tried again sooner: a job that fails at once would otherwise keep a node busy with it.
LEAST_DELAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What follows an attempt: `delay_seconds` until the next one, or None where it was the last one."""

    delay_seconds: float | None


def decide_retry(
    policy: RetryPolicy, failed_attempts: int, error: AttemptError, *, draw: Callable[[], float] = random.random
) -> RetryDecision:
    """What follows a failed attempt; `failed_attempts` counts it, from 1.

    None follows a permanent error, an end that `retry_on` does not name, or the attempt after `max_retries` retries.
    `fixed` waits `retry_delay_seconds`. `exponential` doubles it each time, up to `max_delay_seconds`, and draws the wait evenly from
    nothing to that ("full jitter", Brooker, Exponential Backoff And Jitter, 2015), so that jobs that failed together do not come back
    together: with 300 s the waits lie in 0–300, 0–600, 0–1200 s. None is shorter than LEAST_DELAY_SECONDS, nor than what the server that
    failed asked for (`error.retry_after_seconds`).
    """
    if error.permanent or error.kind.value not in policy.retry_on or failed_attempts > policy.max_retries:
        return RetryDecision(None)
    base, least = float(policy.retry_delay_seconds), max(LEAST_DELAY_SECONDS, error.retry_after_seconds or 0.0)
    if policy.backoff == "fixed":
        return RetryDecision(max(base, least))
    full = min(base * 2.0 ** min(failed_attempts - 1, 60), float(policy.max_delay_seconds))
    return RetryDecision(max(draw() * full, least))


LAST = RetryDecision(None)
