"""Puts the service together: the one place that names concrete classes. One module for each stage, in the order in which they stand on
each other: database, handlers, stores, ground, people, templates, jobs, executions, faces, engine."""

from app.factory.database import Store, migrate, open_store, require_migrated
from app.factory.engine import build_node, launch_executor, with_engine
from app.factory.faces import build_services, create_api, create_app, create_probes
from app.factory.handlers import event_handlers, owing
from app.factory.stores import Stores

__all__ = [
    "Store",
    "Stores",
    "build_node",
    "build_services",
    "create_api",
    "create_app",
    "create_probes",
    "event_handlers",
    "launch_executor",
    "migrate",
    "open_store",
    "owing",
    "require_migrated",
    "with_engine",
]
