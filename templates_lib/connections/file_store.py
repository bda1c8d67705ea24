"""A place for files: a folder of this machine, S3, SFTP or Google Cloud Storage, through fsspec."""

from __future__ import annotations

import base64
import errno
import importlib.util
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from templates_lib import private
from templates_lib.base import Problem, RunContext, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.connections.stores import FileStore, LocalStore, RemoteStore, template_errors
from templates_lib.messages import say, say_many
from templates_lib.own import Own

TIMEOUT_SECONDS = 30
_S3, _SFTP, _GCS = (  # each of these shows a member only for that kind of store
    {"x-visible-if": {"where": [where]}} for where in ("s3", "sftp", "gcs")
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "where": {
            "title": "Where",
            "default": "local",
            "x-widget": "radio",
            "oneOf": [
                {"const": "local", "title": "This machine"},
                {"const": "s3", "title": "S3"},
                {"const": "sftp", "title": "SFTP"},
                {"const": "gcs", "title": "Google Cloud"},
            ],
        },
        "path": {
            "x-destination": False,
            "type": "string",
            "title": "Folder",
            "minLength": 1,
            "maxLength": 1000,
            "pattern": r"^[^\x00\\]+$",
            "x-placeholder": "/srv/exports",
            "description": "Jobs can only use files below this folder. Give an absolute path; for S3 and Google Cloud give the bucket and a folder in it: `exports/nightly`.",
        },
        "endpoint": {
            **_S3,
            "type": "string",
            "title": "Endpoint",
            "format": "uri",
            "pattern": "^https?://",
            "maxLength": 500,
            "description": "Leave empty for Amazon S3. For another service that is compatible with S3, enter its endpoint.",
            "x-placeholder": "https://s3.example.com",
        },
        "region": {**_S3, "type": "string", "title": "Region", "maxLength": 100, "x-placeholder": "eu-central-1"},
        "key_id": {**_S3, "type": "string", "title": "Access key id", "maxLength": 200},
        "key": {**_S3, "type": "string", "title": "Secret access key", "maxLength": 1000, "writeOnly": True},
        "host": {**_SFTP, "type": "string", "title": "Host", "minLength": 1, "maxLength": 253, "pattern": r"^[^\s/]+$"},
        "port": {**_SFTP, "type": "integer", "title": "Port", "minimum": 1, "maximum": 65535, "default": 22},
        "host_key": {
            **_SFTP,
            "type": "string",
            "title": "Host key",
            "maxLength": 2000,
            "pattern": r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?$",
            "x-pattern-words": "a line as in known_hosts, without the host: ssh-ed25519 AAAA…",
            "x-placeholder": "ssh-ed25519 AAAA…",
            "description": "Jobs connect only to a host with this key. `ssh-keyscan HOST` prints it. Compare it with the key that the owner of the host gives you.",
        },
        "username": {**_SFTP, "type": "string", "title": "User name", "minLength": 1, "maxLength": 200},
        "password": {**_SFTP, "type": "string", "title": "Password", "maxLength": 1000, "writeOnly": True},
        "private_key": {
            **_SFTP,
            "type": "string",
            "title": "Private key",
            "maxLength": 20_000,
            "writeOnly": True,
            "description": "OpenSSH or PEM, without a passphrase.",
        },
        "account": {
            **_GCS,
            "type": "string",
            "title": "Key of a service account",
            "maxLength": 20_000,
            "writeOnly": True,
            "description": "The JSON file from Google Cloud. Leave empty to use the account of this machine.",
        },
        "gcs_endpoint": {
            **_GCS,
            "type": "string",
            "title": "Endpoint",
            "format": "uri",
            "pattern": "^https?://",
            "maxLength": 500,
            "description": "Leave empty for Google Cloud.",
        },
        "templates": TEMPLATES,
    },
    "required": ["path"],
    "allOf": [
        {
            "if": {"properties": {"where": {"enum": ["local", "sftp"]}}},
            "then": {"properties": {"path": {"pattern": "^/.+", "x-pattern-words": "an absolute path, such as /srv/exports"}}},
            "else": {
                "properties": {"path": {"pattern": "^[^/].*", "x-pattern-words": "a bucket, and a folder in it, such as exports/nightly"}}
            },
        },
        {"if": {"properties": {"where": {"const": "sftp"}}, "required": ["where"]}, "then": {"required": ["host", "username", "host_key"]}},
    ],
    "dependentRequired": {"key_id": ["key"], "key": ["key_id"]},
    "additionalProperties": False,
}
_NEEDS = {"s3": ("s3fs", "s3"), "sftp": ("paramiko", "sftp"), "gcs": ("gcsfs", "gcs")}


def open_store(settings: Mapping[str, Any], own: Own, *, mark: str = "") -> FileStore:
    """Returns the store that a connection's settings describe; FileStore explains `mark`. Raises TemplateError (permanent) if a needed
    library is not installed, or if the store belongs to Jobwright itself."""
    where, path = settings.get("where", "local"), str(settings["path"])
    if where == "local":
        return LocalStore(path, own, mark=mark)
    module, extra = _NEEDS[where]
    if importlib.util.find_spec(module) is None:
        raise TemplateError(f"Stores of this kind need the extra {extra!r}: pip install 'jobwright[{extra}]'", permanent=True)
    with template_errors("Opening the store"):
        opened = {"s3": _s3, "sftp": _sftp, "gcs": _gcs}[where](settings)
    return RemoteStore(opened, path, objects=where != "sftp", mark=mark)


def _s3(settings: Mapping[str, Any]) -> Any:
    from s3fs import S3FileSystem  # noqa: PLC0415 - an optional library whose import takes a second

    return S3FileSystem(
        anon=False,
        key=settings.get("key_id"),
        secret=settings.get("key"),
        endpoint_url=settings.get("endpoint"),
        client_kwargs={"region_name": settings["region"]} if settings.get("region") else {},
        config_kwargs={"connect_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS},
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def _gcs(settings: Mapping[str, Any]) -> Any:
    # Without this, gcsfs asks each bucket over gRPC for a newer kind of folders, and only Google's own servers answer that.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from gcsfs import GCSFileSystem  # noqa: PLC0415 - an optional library whose import takes a second

    endpoint = {"endpoint_url": settings["gcs_endpoint"]} if settings.get("gcs_endpoint") else {}
    token = json.loads(settings["account"]) if settings.get("account") else "anon" if endpoint else "google_default"
    return GCSFileSystem(token=token, **endpoint, timeout=TIMEOUT_SECONDS, use_listings_cache=False, skip_instance_cache=True)


def _sftp(settings: Mapping[str, Any]) -> Any:
    import paramiko  # noqa: PLC0415 - an extra
    from fsspec.implementations.sftp import SFTPFileSystem  # noqa: PLC0415 - it needs the extra
    from paramiko.sftp import CMD_OPEN, SFTP_FLAG_CREATE  # noqa: PLC0415 - an extra

    class PrivateFilesClient(paramiko.SFTPClient):
        """Asks the server to make files that only their owner may read (draft-ietf-secsh-filexfer-02, 6.3). The client of paramiko asks for
        no mode, so that the umask of the server would decide."""

        def _request(self, kind: Any, *arguments: Any) -> Any:
            if kind == CMD_OPEN and arguments[1] & SFTP_FLAG_CREATE:
                arguments[2].st_mode = private.FILE_MODE
            return super()._request(kind, *arguments)  # type: ignore[misc]  # private to paramiko, whose types leave it out

    class KnownHostFileSystem(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
        """Accepts only a host with the known key. The file system of fsspec accepts any host."""

        def _connect(self) -> None:
            kind, encoded, *_ = settings["host_key"].split()
            host, port = settings["host"], settings.get("port", 22)
            self.client = paramiko.SSHClient()
            self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
            name = host if port == 22 else f"[{host}]:{port}"
            self.client.get_host_keys().add(name, kind, paramiko.PKey.from_type_string(kind, base64.b64decode(encoded)))
            self.client.connect(
                host,
                port=port,
                username=settings["username"],
                password=settings.get("password"),
                pkey=_private_key(settings),
                timeout=TIMEOUT_SECONDS,
                allow_agent=False,
                look_for_keys=False,
            )
            transport = self.client.get_transport()
            assert transport is not None  # noqa: S101 - it is connected
            self.ftp = PrivateFilesClient.from_transport(transport)

    return KnownHostFileSystem(settings["host"], skip_instance_cache=True)


def _private_key(settings: Mapping[str, Any]) -> Any:
    import paramiko  # noqa: PLC0415 - an extra

    if not settings.get("private_key"):
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(settings["private_key"].strip() + "\n"))
        except paramiko.SSHException:
            continue
    raise TemplateError("The private key cannot be used. It must be an Ed25519, ECDSA or RSA key without a passphrase", permanent=True)


def open_file_store(ctx: RunContext, name: str) -> FileStore:
    """Returns the store of the connection `name` of this run."""
    return open_store(ctx.connection(name, "file_store").settings, ctx.own, mark=ctx.execution_id)


def _address(settings: Mapping[str, Any]) -> tuple[str, int] | None:
    """Returns the host and port of a store elsewhere, if the settings name them."""
    if settings.get("where") == "sftp":
        return settings["host"], settings.get("port", 22)
    endpoint = urlsplit(settings.get({"s3": "endpoint", "gcs": "gcs_endpoint"}.get(settings.get("where", ""), ""), ""))
    return (endpoint.hostname, endpoint.port or (443 if endpoint.scheme == "https" else 80)) if endpoint.hostname else None


def _place(settings: Mapping[str, Any]) -> str:
    address = _address(settings)
    clouds = {"s3": "Amazon S3", "gcs": "Google Cloud Storage"}
    return f"{address[0]}:{address[1]}" if address else clouds.get(settings.get("where", ""), str(settings["path"]))


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:
    if settings.get("where", "local") == "local":
        open_store(settings, own)
        root = Path(settings["path"])
        private.make_folders(root)
        if not os.access(root, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))
        return say_many(
            "{path} can be written. It has {count} entry.",
            "{path} can be written. It has {count} entries.",
            len(list(root.iterdir())),
            path=str(root),
        )
    address = _address(settings)
    if address is not None:
        failures.check_listening([address], seconds)
    store = open_store(settings, own)
    name = ".jobwright-probe"
    with store.write_atomically(name) as stream:
        stream.write(b"probe")
    [probe_file] = [entry for entry in store.files() if entry.name == name]
    store.remove(probe_file)
    return say("{path} can be written.", path=settings["path"])


def _problems(settings: Mapping[str, Any], own: Own) -> Iterable[Problem]:
    reason = own.refuses(settings["path"]) if settings.get("where", "local") == "local" else None
    if reason is not None:
        yield Problem("/path", reason)


KIND = ConnectionKind(
    type="file_store",
    name="File store",
    icon="folder",
    description="A folder that jobs write to and read from: here, S3, SFTP or Google Cloud Storage",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
    problems=_problems,
    folders=lambda settings: (str(settings["path"]),) if settings.get("where", "local") == "local" else (),
)
