"""Opens the registry's database, and brings it up to date."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from pymongo import MongoClient
from pymongo.database import Database

from app.accounts.store import UserStore
from app.clock import Clock, SystemClock
from app.config import Settings
from app.connected import COMMAND, connected_processes, name_of_process
from app.errors import StartError
from app.local_mongod import LocalMongod
from app.migrations import Migrator
from app.mongo import OLDEST_MONGODB, Document, connect, open_database
from app.premises import errors_name_settings, has_private_database, make_data_folder, require_registry
from app.restore_marker import require_no_restore
from app.scheduling.node_store import NodeStore


@dataclass
class Store:
    """The database of this process, and the private mongod where one was started."""

    client: MongoClient[Document]
    database: Database[Document]
    mongod: LocalMongod | None

    @property
    def is_alone(self) -> bool:
        """Whether no other process works on the database: it is the private one, and this process has started it."""
        return self.mongod is not None and self.mongod.shared_with is None

    def close(self) -> None:
        self.client.close()
        if self.mongod is not None:
            self.mongod.stop()


def open_store(settings: Settings, *, role: str = COMMAND, existing: bool = False, restoring: bool = False) -> Store:
    """Connect, starting a private mongod where `MONGODB_URI` is unset. With `existing` nothing is made: there must be a registry. `role` is
    that of the process.

    Raises StartError or ConfigError that says what to do. A database whose restore is not finished is refused, unless `restoring`.
    """
    with errors_name_settings(settings):
        mongod, uri = None, settings.mongodb_uri
        if not uri:
            if existing:
                require_registry(settings, exists=has_private_database(settings))
            else:
                make_data_folder(settings.data_path)
            mongod = LocalMongod(settings.data_path)
            uri = mongod.start()
            mongod.keep_up()
        try:
            client = connect(uri, name=name_of_process(role, settings.database))
        except BaseException:
            if mongod is not None:
                mongod.stop()
            raise
        try:
            store = Store(client, open_database(client, settings.database), mongod)
            _check_server(store)
            if not restoring:
                require_no_restore(store.database)
            if existing:
                require_registry(settings, exists=store.database["migrations"].find_one({}) is not None)
        except BaseException:
            client.close()
            if mongod is not None:
                mongod.stop()
            raise
    return store


def _check_server(store: Store) -> None:
    """Raises StartError if the server cannot hold a registry, and the driver's error if it denies access."""
    hello = store.client.admin.command("hello")
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise StartError(
            "MONGODB_URI points to a standalone server. Jobwright needs a replica set (one node is enough).\n"
            "Start mongod with --replSet rs0 and run rs.initiate() once, then add ?replicaSet=rs0 to MONGODB_URI."
        )
    server = store.client.server_info()
    if tuple(server["versionArray"][:2]) < OLDEST_MONGODB:
        oldest = ".".join(map(str, OLDEST_MONGODB))
        raise StartError(f"MONGODB_URI points to MongoDB {server['version']}; Jobwright needs {oldest} or newer.")
    store.database["migrations"].find_one({}, {"_id": 1})


def migrate(
    store: Store, clock: Clock | None = None, *, post: bool = False, force: bool = False, wait_seconds: float | None = None
) -> list[str]:
    """Applies the pending migrations and returns their ids.

    Those of the kind post are left, unless `post`. Raises StartError if they are to be applied while nodes of another version are online,
    or other processes of it connected, unless `force`. Where no other process can be, because nobody has worked on the database yet or it
    is private, they are applied as well.
    """
    here, nodes = version("jobwright"), NodeStore(store.database)

    def check() -> None:
        if force or store.is_alone:
            return
        if others := nodes.names_of_other_versions(here):
            raise StartError(
                f"Nodes of another version than {here} are online: {', '.join(others)}. "
                "Replace or stop them, and web servers of that version, too. Then run `jobwright migrate --post` again."
            )
        if connected := [str(process) for process in connected_processes(store.client, store.database.name) if process.version != here]:
            raise StartError(
                f"Processes of another version than {here} are connected to the database: {', '.join(connected)}. "
                "Replace or stop them. Then run `jobwright migrate --post` again."
            )

    unused = not UserStore(store.database).any_exists() and not nodes.names_of_other_versions(here)
    post = post or store.is_alone or unused
    return Migrator(store.database, clock or SystemClock()).upgrade(post=post, check=check, wait_seconds=wait_seconds)


def require_migrated(store: Store) -> None:
    """Raises StartError if migrations are pending."""
    if pending := Migrator(store.database, SystemClock()).pending():
        raise StartError(f"The registry has pending migrations ({', '.join(pending)}). Run `jobwright migrate`.")
