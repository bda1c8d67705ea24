"""Tells whether lines of a crontab have a column for the user, so that a wrong layout does not make a program of a user."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Users of machines whose names are no programs, and programs whose names are no users.
_USERS = frozenset(
    ["root", "www-data", "apache", "nginx", "httpd", "nobody", "daemon", "postgres", "tomcat", "jenkins", "ubuntu", "debian", "ec2-user"]
)
_PROGRAMS = frozenset(
    [
        "[",
        "bash",
        "cd",
        "certbot",
        "curl",
        "echo",
        "env",
        "find",
        "flock",
        "mysqldump",
        "nice",
        "perl",
        "pg_dump",
        "php",
        "python",
        "python3",
        "rsync",
        "run-parts",
        "sh",
        "sleep",
        "sudo",
        "tar",
        "test",
        "timeout",
        "wget",
    ]
)
_NAME = re.compile(r"(?!-)[\w.@+\\-]+\$?")


def seems_to_have_users(lines: Iterable[str]) -> str:
    """Returns why lines of a crontab of a user, without their times, seem to be those of a system; "" if they do not."""
    users = {words[0] for line in lines if len(words := line.split(None, 1)) > 1 and words[0] in _USERS}
    if not users:
        return ""
    first = min(users, key=lambda user: (user != "root", user))
    reason = f"is in a file whose lines seem to have a column for the user, such as {first}."
    return f"{reason} If they have one, use --layout system. If {first} is a program, use --layout user"


def is_no_user(word: str, *, chosen: bool) -> str:
    """Returns why the word in the column for the user is none; "" if it can be one. `chosen` says that somebody has chosen the layout."""
    if _NAME.fullmatch(word) and (chosen or word not in _PROGRAMS):
        return ""
    return f"has {word} where a crontab of a system has the user. A crontab of a user has no column for the user: use --layout user"
