"""The environment of commands: what every command gets, and the names that no job may set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from templates_lib.base import RunContext
from templates_lib.messages import Said, say

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INHERITED = ("LANG", "LC_ALL", "TZ")

# Variables by which the dynamic loader, the C library, shells and interpreters load code, or find programs and settings that are code.
_LOADERS = re.compile(
    r"(?:LD|DYLD|GCONV|GLIBC|MALLOC|COVERAGE|LUA|OPENSSL|NIX|BASH|DOTNET|COMPLUS|XDG_CONFIG)_.*|PYTHON.*|PERL.*|RUBY(?:LIB|OPT|SHELL)|"
    r"GEM_(?:HOME|PATH)|NODE_(?:OPTIONS|PATH|REPL_.*)|GIT_(?!AUTHOR_|COMMITTER_).*|R_(?:HOME|LIBS|PROFILE|ENVIRON).*|JAVA_HOME|"
    r"(?:JAVA_TOOL|JDK_JAVA|_JAVA)_OPTIONS|PATH|CLASSPATH|LOCPATH|NLSPATH|CDPATH|FPATH|ENV|IFS|PS4|SHELL|SHELLOPTS|BASHOPTS|ZDOTDIR|"
    r"PROMPT_COMMAND|HOSTALIASES|RES_OPTIONS|RESOLV_HOST_CONF|LOCALDOMAIN|EDITOR|VISUAL|(?:.+_)?PAGER|BROWSER|LESSOPEN|LESSCLOSE|"
    r"(?:SSH|SUDO)_ASKPASS|RSYNC_RSH|TAR_OPTIONS|PHPRC|PHP_INI_SCAN_DIR|TERMINFO(?:_DIRS)?"
)


def name_problem(name: str) -> Said | None:
    """Returns why a job may not set a variable; None if it may."""
    if name.upper().startswith("JOBWRIGHT_"):
        return say("{name} is refused, because names that begin with JOBWRIGHT_ are set by Jobwright", name=name)
    if _LOADERS.fullmatch(name.upper()):
        return say("{name} is refused, because it can make a program load other code than its own", name=name)
    return None


def environment(ctx: RunContext, *chosen: Mapping[str, str]) -> dict[str, str]:
    """Returns the whole environment of a command: nothing of the service's own, what identifies the run, and the `chosen` variables."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    run = {
        "JOBWRIGHT_EXECUTION_ID": ctx.execution_id,
        "JOBWRIGHT_ATTEMPT": str(ctx.attempt),
        "JOBWRIGHT_NOW": ctx.now.isoformat(),
        "JOBWRIGHT_CORRELATION_ID": ctx.correlation_id or ctx.execution_id,
    }
    if ctx.traceparent:
        run["TRACEPARENT"] = ctx.traceparent
    whole = {"PATH": PATH, "LANG": "C.UTF-8", **inherited, "HOME": str(ctx.files), "TMPDIR": str(ctx.files), **run}
    for variables in chosen:
        whole |= variables
    return whole
