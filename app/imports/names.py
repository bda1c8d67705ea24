"""Names of imported jobs, and ids of entries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

LONGEST = 100
_SKIPPED = {
    "nice",
    "ionice",
    "nohup",
    "setsid",
    "chronic",
    "exec",
    "time",
    "timeout",
    "flock",
    "env",
    "sudo",
    "su",
    "cd",
    "test",
    "[",
    "]",
    "export",
    "sh",
    "bash",
    "dash",
    "if",
    "then",
    "&&",
    "||",
    ";",
    "{",
    "(",
    "-c",
    "command",
    "sleep",
    "true",
    "root",
}
_INTERPRETERS = re.compile(r"(?:php|python|perl|ruby|node|java|sh|bash|Rscript|mono|dotnet)[0-9.]*")

_WITH_ARGUMENT = {
    "curl",
    "wget",
    "find",
    "rsync",
    "docker",
    "certbot",
    "git",
    "service",
    "systemctl",
    "aws",
    "kubectl",
    "restic",
    "run-parts",
}


def name_of_command(text: str) -> str:
    """Returns a name for a job by the program that it starts, and by its script or its first argument."""
    words = [word.strip("'\"(){};&|") for word in text.split()]
    skip_next = False
    for place, word in enumerate(words):
        if skip_next or not word or word in _SKIPPED or word.rpartition("/")[2] in _SKIPPED:
            skip_next = word in {"cd", "-x", "-n"}
            continue
        if (
            word.startswith("-")
            or "=" in word.split("/")[0]
            or re.fullmatch(r"[0-9]+[smhd]?|.*\.(?:lock|lck)|/(?:var/)?(?:run|lock|tmp)/.*", word)
        ):
            continue
        base = word.rstrip("/").rpartition("/")[2]
        following = next((other for other in words[place + 1 :] if other and not other.startswith(("-", "‹", ">", "2>"))), "")
        if following and (_INTERPRETERS.fullmatch(base) or base in _WITH_ARGUMENT):
            return short(f"{base} {following.rstrip('/').rpartition('/')[2] or following}")
        return short(base.removesuffix(".sh"))
    return "command"


def name_of_job(body: Mapping[str, Any]) -> str:
    """Returns a name by what a job does; "" if its parameters say nothing of it."""
    parameters = body["parameters"]
    match body["template_type"]:
        case "webhook_trigger":
            return short(f"Call {_place(parameters['url'])}")
        case "http_health_check":
            return short(f"Check {_place(parameters['checks'][0]['url'])}")
        case "file_cleanup":
            pattern = parameters.get("pattern", "")
            return short(f"Clean up {parameters['store'].removeprefix('file-store-')} {pattern}".strip())
        case "backup":
            return short(f"Back up {parameters['name']}")
        case "email_notification":
            return short(f"Mail: {parameters['subject']}")
        case "command" if "arguments" in parameters or not parameters["program"].startswith("/usr/local/lib/jobwright/"):
            return _of_program(parameters["program"], parameters.get("arguments", ()))
    return ""


def _of_program(program: str, arguments: Sequence[str]) -> str:
    base = program.rpartition("/")[2].removesuffix(".sh")
    if not (_INTERPRETERS.fullmatch(base) or base in _WITH_ARGUMENT):
        return short(base)
    plain = [text for text in arguments if text and not text.startswith("-") and " " not in text]
    script = next((text for text in plain if "/" in text or "." in text), plain[0] if plain else "")
    return short(f"{base} {script.rstrip('/').rpartition('/')[2]}")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path.rstrip('/')}"


def short(text: str) -> str:
    """Returns a text as a name: on one line, without characters that cannot be seen, and not too long."""
    visible = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(visible.split())[:LONGEST] or "command"


def unique(name: str, taken: set[str], between: str = " ") -> str:
    """Returns the name, with a number if it is taken, and adds it to those that are taken. `between` stands in front of the number."""
    number, chosen = 1, name
    while chosen.lower() in taken:
        number += 1
        chosen = f"{name}{between}{number}"
    taken.add(chosen.lower())
    return chosen


def slug(text: str, otherwise: str = "default") -> str:
    """Returns a text as lower-case words with hyphens between them; `otherwise` for a text without letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or otherwise


def hashed_slug(text: str, otherwise: str) -> str:
    """Returns the beginning of a text as words, and its hash: texts that differ have ids that differ."""
    return f"{slug(text, otherwise)[:40].rstrip('-')}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:10]}"


def words_or_hash(*parts: str, otherwise: str) -> str:
    """Returns names as words with hyphens between them. If other names would have the same words, or they are long, there is a hash too."""
    text = "-".join(parts)
    told = slug(text, otherwise) == text and len(text) <= LONGEST and not any("-" in part for part in parts[:-1])
    return text if told else hashed_slug("\0".join(parts), otherwise)
