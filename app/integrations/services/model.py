"""A service that registers jobs, and its running instances. Records are frozen and change by copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

INSTANCE_SECONDS = 90  # how long an instance counts as online after a heartbeat that names no time of its own


class OnStale(StrEnum):
    """What happens with the jobs of a service that is silent for longer than its time to live."""

    CONTINUE = "continue"  # they go on
    PAUSE = "pause"  # their due times are skipped until the service is heard of again


class InstanceState(StrEnum):
    """What an instance says about itself."""

    READY = "ready"  # takes runs
    DRAINING = "draining"  # finishes its work and takes no new runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A running copy of a service.

    `address` is its own base address; empty for an instance that is reached through the address of the service. `jobs` are the names of the
    jobs that it can run, `running` the number of runs that it is busy with. `ttl_seconds` is how long it counts as online after its last
    heartbeat.
    """

    id: str
    version: str = ""
    address: str = ""
    state: InstanceState = InstanceState.READY
    jobs: tuple[str, ...] = ()
    running: int = 0
    ttl_seconds: int = INSTANCE_SECONDS
    seen_at: datetime

    def is_online(self, now: datetime) -> bool:
        """Returns whether the instance is expected to answer."""
        return self.seen_at + timedelta(seconds=self.ttl_seconds) > now


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The last manifest of a service: its version, the digest of its content, its ETag, and when it was sent."""

    version: str
    digest: str
    etag: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """A manifest whose jobs are being written: the digest of its content, and since when. It stays if the process ends meanwhile, so that
    the next manifest is written as a whole, whatever it says."""

    digest: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that has registered jobs. Its address and its keys are the connection of kind `service` with the same name.

    `seen_at` is when it registered, sent a manifest or a heartbeat last; unchanged registrations are noted at most once in a part of its
    time to live. `stale_since` is when the service was found silent for longer than `ttl_seconds`, and `resting` says that its jobs are
    paused because of that. `created_by` is the e-mail address of the account to which it belongs. `damaged` says what in the stored record
    cannot be read.
    """

    name: str
    display_name: str = ""
    manifest: Manifest | None = None
    applying: Applying | None = None
    ttl_seconds: int | None = None
    on_stale: OnStale = OnStale.CONTINUE
    instances: tuple[Instance, ...] = ()
    stale_since: datetime | None = None
    resting: bool = False
    seen_at: datetime
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    damaged: str = ""

    def is_stale(self, now: datetime) -> bool:
        """Returns whether the service has been silent for longer than its time to live. A service without one is never stale."""
        if self.ttl_seconds is None:
            return False
        heard = max([self.seen_at, *(instance.seen_at for instance in self.instances)])
        return heard + timedelta(seconds=self.ttl_seconds) <= now

    def online(self, now: datetime) -> list[Instance]:
        """Returns the instances that are online, by id."""
        return [instance for instance in self.instances if instance.is_online(now)]

    def able(self, job_name: str, now: datetime) -> list[Instance]:
        """Returns the instances that are online and take runs of a job, by id."""
        return [instance for instance in self.online(now) if instance.state is InstanceState.READY and job_name in instance.jobs]


def distinct_versions(instances: Iterable[Instance]) -> list[str]:
    """Returns the versions of some instances, each once, sorted; an instance without a version is left out."""
    return sorted({instance.version for instance in instances if instance.version})
