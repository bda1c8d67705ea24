"""What is stored: the database, the data folder, the key, and how long the history is kept."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

from app.config.values import CENTURY_DAYS, at_least, setting


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """What is stored: the database, the data folder, the key, and how long the history is kept."""

    mongodb_uri: str = setting(
        "MONGODB_URI", "str", "", "MongoDB connection string. Leave empty to use a private MongoDB in the data folder.", secret=True
    )
    database: str = setting("JOBWRIGHT_DATABASE", "str", "jobwright", "Name of the database of Jobwright")
    migrate: str = setting(
        "JOBWRIGHT_MIGRATE",
        "str",
        "auto",
        "auto: a process applies pending database migrations when it starts. never: it refuses to start until `jobwright migrate` has run.",
        validate=OneOf(["auto", "never"]),
    )
    data_dir: str = setting("JOBWRIGHT_DATA_DIR", "str", "./data", "Folder for the private MongoDB, the key and the files of jobs")
    sample: bool = setting(
        "JOBWRIGHT_SAMPLE",
        "bool",
        False,
        "Create sample data (a shop, jobs and their history) when an installation without jobs starts",
    )
    sample_uri: str = setting(
        "JOBWRIGHT_SAMPLE_URI",
        "str",
        "",
        "MongoDB for the sample data, which jobs may reach. Leave empty to use a second private MongoDB, if MONGODB_URI is empty too.",
        secret=True,
    )
    secret_key: str = setting(
        "JOBWRIGHT_SECRET_KEY",
        "str",
        "",
        "Key that signs sessions and encrypts connections, at least 32 random characters. Leave empty to create one in the data folder.",
        secret=True,
    )
    old_secret_keys: tuple[str, ...] = setting(
        "JOBWRIGHT_OLD_SECRET_KEYS",
        "words",
        (),
        "Earlier keys, separated by spaces. They decrypt what was encrypted with them and encrypt nothing new.",
        secret=True,
    )
    keep_success_days: int = setting(
        "JOBWRIGHT_KEEP_SUCCESS_DAYS", "int", 90, "Days that successful executions are kept; 0 means forever", **at_least(0, CENTURY_DAYS)
    )
    keep_failure_days: int = setting(
        "JOBWRIGHT_KEEP_FAILURE_DAYS",
        "int",
        365,
        "Days that failed, timed-out, cancelled and missed executions are kept; 0 means forever",
        **at_least(0, CENTURY_DAYS),
    )
    keep_skipped_days: int = setting(
        "JOBWRIGHT_KEEP_SKIPPED_DAYS", "int", 30, "Days that skipped executions are kept; 0 means forever", **at_least(0, CENTURY_DAYS)
    )
    keep_delivery_days: int = setting(
        "JOBWRIGHT_KEEP_DELIVERY_DAYS",
        "int",
        90,
        "Days that notifications and incidents that are over are kept; 0 means forever",
        **at_least(0, CENTURY_DAYS),
    )
    keep_per_job: int = setting("JOBWRIGHT_KEEP_PER_JOB", "int", 10_000, "Number of executions kept per job; 0 means all", **at_least(0))
