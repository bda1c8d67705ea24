"""The connections of services that register jobs: where a service is called, and its signing keys."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.inventory import Inventory
from app.connections.store import ConnectionStore
from app.connections.vault import Vault, mask
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from templates_lib.connections import service
from templates_lib.hosts import DEFAULT_PORTS, any_fits
from templates_lib.messages import say

KIND = service.KIND.type
WRITE_TRIES = 5


@dataclass(frozen=True, slots=True)
class NewKey:
    """A signing key that was just made: its id, and its text, which is shown once."""

    id: str
    secret: str


class ServiceConnections:
    """Makes and changes connections at the word of services. It checks no rights: its callers do."""

    def __init__(self, store: ConnectionStore, vault: Vault, audit: AuditTrail, clock: Clock, *, private_hosts: Collection[str]) -> None:
        self._store, self._vault, self._audit, self._clock = store, vault, audit, clock
        self._private = tuple(private_hosts)  # that the operator allows for calls of all jobs

    def find(self, name: str) -> Document | None:
        """Returns the connection of a service, secrets masked; None if there is none. Raises Conflict if the name has another kind."""
        row = self._stored(name)
        return {**row, "settings": mask(row["settings"])} if row else None

    def find_all(self, names: Collection[str]) -> dict[str, Document]:
        """Returns the connections of these services that exist, by name, secrets masked. One of another kind is left out."""
        return {row["name"]: {**row, "settings": mask(row["settings"])} for row in self._store.by_names(names) if row["kind"] == KIND}

    def keys(self, name: str) -> list[str]:
        """Returns the active signing keys of a service in the clear, the newest first; none for a service without a connection."""
        row = self._stored(name)
        return service.signing_keys(self._vault.open(row["settings"])) if row else []

    def address_error(self, name: str, address: str, *, trusted: bool, new_owner: str | None = None) -> str | None:
        """Returns why a service cannot have an address; None if it can.

        `trusted` says that the operator has set the address. `new_owner` is the account that registers the service for the first time: it
        cannot lead a connection that somebody else has made to another address.
        """
        row = self._stored(name)
        if row is None or trusted or row["settings"].get("address") == address:
            return None
        if new_owner not in (None, row["created_by"]):
            return say("is not the address of the connection {name!r}, which somebody else made; a super-admin can change that", name=name)
        settings = {**row["settings"], "address": address}
        if self._is_private(address):
            settings["hosts"] = [*settings.get("hosts", ()), *_hosts_of(address)]
        problem = next((item for item in service.problems_of({**settings, "keys": []}) if item.pointer == "/address"), None)
        if problem is None:
            return None
        return say("is not allowed by the connection {name!r}; a super-admin can change that", name=name)

    def ensure(self, actor: Actor, name: str, address: str | None, *, trusted: bool) -> NewKey | None:
        """Makes the connection of a service, or gives it another address. Returns the signing key of a new connection.

        A connection that exists and has the address, or that shall keep its own (None), is not written. Raises ValidationFailed (`""`)
        if there is neither a connection nor an address.
        """
        for _ in range(WRITE_TRIES):
            row = self._stored(name)
            if row is None:
                if address is None:
                    raise ValidationFailed([FieldError("", "is required, because Jobwright does not know the address of this service")])
                try:
                    return self._create(actor, name, address, trusted=trusted)
                except DuplicateName:
                    continue  # another process has just made it
            wanted = self._with_address(row["settings"], address, trusted=trusted)
            if wanted == row["settings"] or self._replace(actor, row, wanted, "connection.update"):
                return None
        raise StaleVersion(0, 1)

    def rotate(self, actor: Actor, name: str) -> NewKey:
        """Adds a new signing key to a service and removes all but the newest of the others. Raises NotFound; StaleVersion."""
        row = self._stored(name)
        if row is None:
            raise NotFound("service", name)
        key = self._new_key()
        kept = sorted(row["settings"].get("keys", ()), key=lambda item: str(item["created_at"]))[-(service.MOST_KEYS - 1) :]
        self._write(actor, row, {**row["settings"], "keys": [*kept, self._sealed(key)]}, "connection.rotate")
        return key

    def retire_old_key(self, actor: Actor, name: str) -> None:
        """Removes all signing keys of a service but the newest. Raises NotFound; StaleVersion."""
        row = self._stored(name)
        if row is None:
            raise NotFound("service", name)
        keys = sorted(row["settings"].get("keys", ()), key=lambda item: str(item["created_at"]))
        if len(keys) > 1:
            self._write(actor, row, {**row["settings"], "keys": keys[-1:]}, "connection.retire_key")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _stored(self, name: str) -> Document | None:
        row = next(iter(self._store.by_names([name])), None)
        if row is not None and row["kind"] != KIND:
            raise Conflict(say("There is a connection {name!r} of another kind. Rename it, or give the service another name.", name=name))
        return row

    def _create(self, actor: Actor, name: str, address: str, *, trusted: bool) -> NewKey:
        key, now = self._new_key(), self._clock.now()
        settings = self._with_address({"address": address, "plain": address.startswith("http://")}, address, trusted=trusted)
        row: Document = {
            "_id": str(uuid.uuid4()),
            "name": name,
            "kind": KIND,
            "settings": {**settings, "keys": [self._sealed(key)]},
            "version": 1,
            "created_by": actor.email,
            "created_at": now,
            "updated_by": actor.email,
            "updated_at": now,
        }
        diff = field_diff({}, {"name": name, "kind": KIND, "settings": mask(row["settings"])})
        with self._audit.action(actor, "connection.create", kind="connection", target_id=row["_id"], name=name, diff=diff):
            self._store.add(row)
        return key

    def _with_address(self, settings: Mapping[str, Any], address: str | None, *, trusted: bool) -> dict[str, Any]:
        """Returns settings with another address. The host of an address that the operator allows is listed, so that it may be private."""
        if address is None or (settings.get("address") == address and settings.get("hosts")):
            return dict(settings)
        wanted = {**settings, "address": address}
        if trusted:
            wanted["plain"] = bool(settings.get("plain")) or address.startswith("http://")
        if trusted or self._is_private(address):
            hosts = list(settings.get("hosts", ()))
            wanted["hosts"] = [*hosts, *(host for host in _hosts_of(address) if host not in hosts)]
        return wanted

    def _is_private(self, address: str) -> bool:
        """Returns whether the operator lists the host of an address among the private hosts that jobs may call."""
        url = httpx.URL(address)
        return any_fits(self._private, url.host, url.port or DEFAULT_PORTS[url.scheme]) or url.host.lower() in self._private

    def _new_key(self) -> NewKey:
        return NewKey(f"k_{secrets.token_hex(4)}", service.new_key())

    def _sealed(self, key: NewKey) -> dict[str, Any]:
        item = {"id": key.id, "secret": key.secret, "created_at": self._clock.now().isoformat(timespec="milliseconds")}
        schema = service.SCHEMA["properties"]["keys"]["items"]
        return dict(self._vault.seal(Inventory.of(schema, item)))

    def _write(self, actor: Actor, row: Document, settings: Mapping[str, Any], action: str) -> None:
        if not self._replace(actor, row, settings, action):
            raise StaleVersion(row["version"], row["version"] + 1)

    def _replace(self, actor: Actor, row: Document, settings: Mapping[str, Any], action: str) -> bool:
        """Writes the settings, unless the connection was changed meanwhile."""
        new = {**row, "settings": settings, "version": row["version"] + 1, "updated_by": actor.email, "updated_at": self._clock.now()}
        diff = field_diff({"settings": mask(row["settings"])}, {"settings": mask(settings)})
        try:
            with self._audit.action(actor, action, kind="connection", target_id=row["_id"], name=row["name"], diff=diff):
                if not self._store.replace_version(new, version=row["version"]):
                    raise StaleVersion(row["version"], row["version"] + 1)
        except StaleVersion:
            return False
        return True


def _hosts_of(address: str) -> list[str]:
    """Returns the host of an address as connections list it: with its port, unless that is the usual one."""
    url = httpx.URL(address)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return [host if url.port is None else f"{host}:{url.port}"]
