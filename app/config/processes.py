"""The processes of jobs: how they are confined, and what they may use."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

from app.config.values import at_least, setting


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """The processes of jobs: how they are confined, and what they may use."""

    isolation: str = setting(
        "JOBWRIGHT_ISOLATION",
        "str",
        "template",
        "process: every attempt has its own process. reused: attempts share warm processes one after "
        "the other. template: as each template says.",
        validate=OneOf(["template", "process", "reused"]),
    )
    cgroup: str = setting(
        "JOBWRIGHT_CGROUP",
        "str",
        "auto",
        "Use of control groups (version 2). auto: keep the processes of an attempt together. own: also limit "
        "them, in a group that only Jobwright uses. off: do not use them.",
        validate=OneOf(["auto", "own", "off"]),
    )
    cage: str = setting(
        "JOBWRIGHT_CAGE",
        "str",
        "auto",
        "auto: sandbox job processes with whatever the kernel supports (docs/how-to/secure.md). off: no sandbox.",
        validate=OneOf(["auto", "off"]),
    )
    job_user: str = setting("JOBWRIGHT_JOB_USER", "str", "", "User that runs job processes. The service must run as root.")
    job_paths: tuple[str, ...] = setting(
        "JOBWRIGHT_JOB_PATHS",
        "words",
        (),
        "Additional folders that job processes may write to, separated by spaces",
    )
    command_programs: tuple[str, ...] = setting(
        "JOBWRIGHT_COMMAND_PROGRAMS",
        "paths",
        (),
        "Programs that jobs of the template Command may start: absolute paths, separated by spaces. "
        "Leave empty to switch the template off.",
    )
    command_dirs: tuple[str, ...] = setting(
        "JOBWRIGHT_COMMAND_DIRS",
        "paths",
        (),
        "Folders that commands may choose as their working folder, with the folders below: absolute paths, separated by spaces",
    )
    trusted_template_keys: tuple[str, ...] = setting(
        "JOBWRIGHT_TRUSTED_TEMPLATE_KEYS", "words", (), "Public keys of installations whose template files are trusted, separated by spaces"
    )
    job_memory_mb: int = setting(
        "JOBWRIGHT_JOB_MEMORY_MB", "int", 2048, "Memory (address space) that an attempt may use, in MiB", **at_least(256)
    )
    job_cpu_seconds: int = setting(
        "JOBWRIGHT_JOB_CPU_SECONDS", "int", 86400, "Processor time that an attempt may use, in seconds", **at_least(1)
    )
    job_open_files: int = setting("JOBWRIGHT_JOB_OPEN_FILES", "int", 512, "Number of files that an attempt may have open", **at_least(32))
    job_processes: int = setting(
        "JOBWRIGHT_JOB_PROCESSES",
        "int",
        64,
        "Number of processes that an attempt may have. An attempt that starts more is ended.",
        **at_least(1),
    )
    job_log_bytes: int = setting(
        "JOBWRIGHT_JOB_LOG_BYTES", "int", 10_000_000, "Maximum size of the log of an attempt, in bytes", **at_least(1000)
    )
    job_result_bytes: int = setting(
        "JOBWRIGHT_JOB_RESULT_BYTES",
        "int",
        1_000_000,
        "Maximum size of the result of an attempt, in bytes",
        **at_least(1000, 8_000_000),
    )
    job_file_mb: int = setting(
        "JOBWRIGHT_JOB_FILE_MB", "int", 16384, "Maximum size of a file that an attempt writes, in MiB", **at_least(1)
    )
