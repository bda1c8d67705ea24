"""Puts the service together: the one place that names concrete classes. One module for each stage, in the order in which they stand on
each other: database, handlers, stores, ground, people, templates, jobs, executions, faces, engine."""

from app.factory.database import Store, migrate, open_store
from app.factory.engine import build_node, launch_executor, with_engine
from app.factory.faces import build_services, create_api, create_app
from app.factory.handlers import EVENT_HANDLERS, OWING
from app.factory.stores import Stores

__all__ = [
    "EVENT_HANDLERS",
    "OWING",
    "Store",
    "Stores",
    "build_node",
    "build_services",
    "create_api",
    "create_app",
    "launch_executor",
    "migrate",
    "open_store",
    "with_engine",
]
