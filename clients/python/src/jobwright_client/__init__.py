"""Declare scheduled jobs in your service; Jobwright runs them on time.

`Service` is where to begin: it holds the jobs, answers the calls of Jobwright, and registers itself.
"""

from __future__ import annotations

from jobwright_client.context import JobContext
from jobwright_client.errors import Cancelled, DeclarationError, InvalidConfig, JobFailed, JobwrightError, SignatureRefused
from jobwright_client.jobs import JobOptions, ScheduledJob
from jobwright_client.results import JobResult
from jobwright_client.schema import About
from jobwright_client.service import Service
from jobwright_client.settings import Settings
from jobwright_client.signatures import Keys, new_key

__all__ = [
    "About",
    "Cancelled",
    "DeclarationError",
    "InvalidConfig",
    "JobContext",
    "JobFailed",
    "JobOptions",
    "JobResult",
    "JobwrightError",
    "Keys",
    "ScheduledJob",
    "Service",
    "Settings",
    "SignatureRefused",
    "new_key",
]
