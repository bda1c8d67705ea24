"""Takes from a shell line what a job says in another way: folders, redirections, guards, locks, limits of time, niceness."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from app.imports.entries import CommandLine, Draft
from app.imports.shell import NeedsShell, Simple, Word, read_line

OUTPUT = "the output of a run is its log"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SLEEP = re.compile(r"\s*(?:/bin/)?sleep\s+\$\(\(\s*\$?RANDOM\s*%\s*(?P<most>\d+)\s*\)\)\s*(?:;|&&)\s*(?P<rest>.*)", re.DOTALL)
_PERL_SLEEP = re.compile(r"sleep\s+int\(rand\((\d+)\)\);?")
_MOST_JITTER = 86_400


@dataclass(slots=True)
class Line:
    """What is left of a shell line: one command, perhaps with a text that it reads, in a folder, with variables."""

    words: list[Word]
    stdin: str | None = None
    folder: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    mail_to: list[str] = field(default_factory=list)
    subject: str = ""
    user: str = ""

    @property
    def texts(self) -> list[str]:
        """The words as texts."""
        return [word.text for word in self.words]

    @property
    def program(self) -> str:
        """The name of the program without its folder."""
        return self.words[0].text.rpartition("/")[2]


def reduce_line(command: CommandLine, draft: Draft) -> Line:
    """Returns the one command of a line, and adds to the draft what became of everything around it. Raises NeedsShell."""
    text = _spread(command.text, draft)
    variables = {name: value for name, value in command.environment.items() if name not in {"CRON_TZ", "MAILTO"}}
    variables |= {"HOME": command.home} if command.home else {}
    variables |= {name: command.user for name in ("USER", "LOGNAME") if command.user}
    commands = read_line(text, variables)
    line = Line(words=[], stdin=command.stdin, folder="", user=command.user)
    commands = _without_guards(commands, line, draft)
    commands = _without_ends(commands, line, draft)
    simple = _one_command(commands, line)
    _redirections(simple, draft)
    line.environment |= simple.assignments
    line.words = simple.words
    _unwrap(line, command, draft)
    if not line.words:
        raise NeedsShell("there is no command")
    return line


def _spread(text: str, draft: Draft) -> str:
    """Takes a random sleep from the beginning of a line: a job has a jitter for it."""
    match = _SLEEP.match(text)
    if match is None:
        return text
    _jitter(int(match["most"]), draft)
    return match["rest"]


def _jitter(seconds: int, draft: Draft) -> None:
    draft.mapped("sleep", f"up to {seconds} s", "schedule.jitter_seconds")
    draft.body["jitter_seconds"] = min(seconds, _MOST_JITTER)


def _without_guards(commands: list[Simple], line: Line, draft: Draft) -> list[Simple]:
    """Takes `cd X &&`, `test -x X &&` and `export A=B;` from the beginning."""
    while len(commands) > 1:
        first = commands[0]
        if first.program == "cd" and first.after in {"&&", ";"} and len(first.words) == 2 and not first.words[1].pattern:
            line.folder = first.texts[1] if first.texts[1].startswith("/") else f"{line.folder.rstrip('/')}/{first.texts[1]}"
            if not line.folder.startswith("/"):
                raise NeedsShell("the folder of cd is relative to a home folder that is not known")
            draft.mapped("cd", first.texts[1], "parameters.folder")
        elif first.after == "&&" and first.program in {"test", "["}:
            draft.dropped("test", " ".join(first.texts), "a run fails, and says so, if what it needs is missing")
        elif first.after == "&&" and first.program in {"command", "which"}:
            draft.dropped("test", " ".join(first.texts), "a run fails, and says so, if its program is missing")
        elif first.after == "&&" and first.program == "perl" and (sleep := _PERL_SLEEP.fullmatch(first.texts[-1])):
            _jitter(int(sleep[1]), draft)
        elif first.program == "export" and first.after in {"&&", ";"} and all("=" in text for text in first.texts[1:]):
            line.environment |= dict(text.split("=", 1) for text in first.texts[1:])
        elif first.program in {"umask", "ulimit", "set"} and first.after in {"&&", ";"}:
            draft.dropped(first.program, " ".join(first.texts), "templates have their own rights and limits")
        else:
            break
        commands = commands[1:]
    return commands


def _without_ends(commands: list[Simple], line: Line, draft: Draft) -> list[Simple]:
    """Takes `|| true`, `&`, `| logger`, `| tee F` and `| mail …` from the end."""
    while commands:
        last, before = commands[-1], commands[-2] if len(commands) > 1 else None
        if last.after in {"&", ";"}:
            if last.after == "&":
                draft.dropped("&", "&", "a run ends when its command does")
            last.after = ""
        elif before is None:
            break
        elif before.after == "||" and last.texts in (["true"], [":"], ["/bin/true"], ["exit", "0"]):
            draft.dropped("|| true", " ".join(last.texts), "a failure is shown as a failure")
            commands = _cut(commands)
        elif before.after in {"|", "|&"} and last.program in {"logger", "tee", "systemd-cat", "ts", "cat", "cronic"}:
            draft.dropped(last.program, " ".join(last.texts), OUTPUT)
            commands = _cut(commands)
        elif (
            before.after in {"|", "|&"}
            and last.program in {"mail", "mailx", "mutt", "s-nail", "bsd-mailx"}
            and before.program not in {"echo", "printf"}
        ):
            line.subject, line.mail_to = read_mail(last.texts)
            draft.mapped(last.program, " ".join(last.texts), "notifications", "the mail about a run links to its log, which has the output")
            commands = _cut(commands)
        else:
            break
    return commands


def _cut(commands: list[Simple]) -> list[Simple]:
    commands[-2].after = ""
    return commands[:-1]


def _one_command(commands: list[Simple], line: Line) -> Simple:
    """Returns the only command. `echo text | command` is a command that reads the text."""
    if len(commands) == 2 and commands[0].after == "|" and commands[0].program in {"echo", "printf"} and not commands[0].redirects:
        words = commands[0].texts[1:]
        words = words[1:] if words[:1] in (["-n"], ["-e"], ["-ne"], ["-en"]) else words
        if any(word.dated for word in commands[0].words):
            raise NeedsShell("it uses the output of date")
        line.stdin = " ".join(words).replace("\\n", "\n") + "\n"
        return commands[1]
    if len(commands) != 1:
        between = {
            "|": "a pipe",
            "|&": "a pipe",
            "&&": "several commands",
            "||": "several commands",
            ";": "several commands",
            "&": "several commands",
        }
        raise NeedsShell(f"it has {between.get(commands[0].after, 'several commands')}")
    return commands[0]


def _redirections(simple: Simple, draft: Draft) -> None:
    for descriptor, operator, target in simple.redirects:
        if operator == "<" and target == "/dev/null":
            draft.dropped("redirection", f"<{target}", "a command reads nothing unless the job says so")
        elif operator in {"<", "<&", "<<<"}:
            raise NeedsShell(f"it reads {target}")
        elif target.startswith("/dev/tcp"):
            raise NeedsShell("it writes to the network")
        else:
            draft.dropped("redirection", f"{descriptor}{operator}{target}", OUTPUT)


def read_mail(texts: list[str]) -> tuple[str, list[str]]:
    """Returns the subject and the recipients of mail(1). Raises NeedsShell for options that are not known."""
    subject, recipients, place = "", [], 1
    while place < len(texts):
        text = texts[place]
        if text in {"-s", "--subject"} and place + 1 < len(texts):
            subject, place = texts[place + 1], place + 1
        elif text in {"-r", "-a", "-S", "-c"} and place + 1 < len(texts):
            if text == "-a" and ":" not in texts[place + 1]:
                raise NeedsShell("it attaches a file to a mail")
            recipients += [texts[place + 1]] if text == "-c" else []
            place += 1
        elif text.startswith("-") and text not in {"-E", "-e", "-n", "-v", "--"}:
            raise NeedsShell(f"the option {text} of mail is not known")
        elif not text.startswith("-"):
            recipients += [part for part in text.split(",") if part]
        place += 1
    return subject, recipients


# -- programs that start another program -------------------------------------------------------------------------------


def _unwrap(line: Line, command: CommandLine, draft: Draft) -> None:
    """Takes programs from the beginning that only start another one: nice, timeout, flock, env, sudo, sh -c."""
    for _ in range(10):
        unwrap = _WRAPPERS.get(line.program) if line.words else None
        if unwrap is None:
            return
        before = len(line.words)
        unwrap(line, command, draft)
        if len(line.words) == before:
            return


def _nice(line: Line, _command: CommandLine, draft: Draft) -> None:
    rest = line.texts[1:]
    taken = 0
    while taken < len(rest) and rest[taken].startswith("-"):
        taken += 2 if rest[taken] in {"-n", "-c", "-p", "--adjustment", "--class", "--classdata"} else 1
    draft.dropped(line.program, " ".join(line.texts[: taken + 1]), "runs have the priority and the limits of the installation")
    line.words = line.words[taken + 1 :]


def _plain(line: Line, _command: CommandLine, draft: Draft) -> None:
    if line.words[1:] and not line.texts[1].startswith("-"):
        draft.dropped(line.program, line.program, OUTPUT if line.program in {"chronic", "cronic"} else "a run is a process of its own")
        line.words = line.words[1:]


def _timeout(line: Line, _command: CommandLine, draft: Draft) -> None:
    texts, place = line.texts, 1
    while place < len(texts) and texts[place].startswith("-"):
        place += 2 if texts[place] in {"-k", "-s", "--kill-after", "--signal"} else 1
    match = re.fullmatch(r"(\d+)(?:\.\d+)?([smhd]?)", texts[place]) if place < len(texts) else None
    if match is None:
        raise NeedsShell("the time of timeout is not known")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds:
        draft.body["timeout_seconds"] = seconds
    draft.mapped("timeout", " ".join(texts[1 : place + 1]), "timeout_seconds")
    line.words = line.words[place + 1 :]


def _flock(line: Line, command: CommandLine, draft: Draft) -> None:
    texts, place, waits = line.texts, 1, True
    while place < len(texts) and texts[place].startswith("-") and texts[place] != "-c":
        waits = waits and not re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*|--nonblock|--nb", texts[place])
        place += 2 if texts[place] in {"-w", "--timeout", "--wait", "-E", "--conflict-exit-code"} else 1
    if place >= len(texts) or texts[place].isdigit():
        raise NeedsShell("the file of flock is not known")
    draft.body["overlap"] = "queue" if waits else "skip"
    draft.mapped(
        "flock",
        " ".join(texts[1 : place + 1]),
        "overlap",
        "a job does not run beside itself; jobs that share a lock need a concurrency group",
    )
    line.words = line.words[place + 1 :]
    if line.words and line.texts[0] == "-c" and len(line.words) == 2:
        _inner(line, command, draft, line.texts[1])


def _env(line: Line, _command: CommandLine, _draft: Draft) -> None:
    words = line.words[1:]
    while words and (words[0].text in {"-i", "-", "--"} or "=" in words[0].text):
        if "=" in words[0].text:
            name, _, value = words[0].text.partition("=")
            line.environment[name] = value
        words = words[1:]
    if words and words[0].text.startswith("-"):
        raise NeedsShell(f"the option {words[0].text} of env is not known")
    line.words = words


def _sudo(line: Line, _command: CommandLine, draft: Draft) -> None:
    texts, place, user = line.texts, 1, "root"
    while place < len(texts) and texts[place].startswith("-"):
        if texts[place] in {"-u", "--user"} and place + 1 < len(texts):
            user, place = texts[place + 1], place + 1
        elif texts[place] not in {"-n", "-E", "-H", "-i", "--"}:
            raise NeedsShell(f"the option {texts[place]} of {line.program} is not known")
        place += 1
    line.user = user
    draft.dropped(line.program, " ".join(texts[:place]), f"the command ran as {user}; jobs run as the user of Jobwright")
    line.words = line.words[place:]


def _su(line: Line, command: CommandLine, draft: Draft) -> None:
    texts = [text for text in line.texts[1:] if text not in {"-", "-l", "--login"}]
    inner = next((texts[place + 1] for place, text in enumerate(texts[:-1]) if text in {"-c", "--command"}), None)
    names = [
        text
        for place, text in enumerate(texts)
        if (not text.startswith("-") and texts[place - 1] not in {"-c", "--command", "-s"}) or (place == 0 and not text.startswith("-"))
    ]
    if inner is None:
        raise NeedsShell("su starts a shell")
    line.user = names[0] if names else "root"
    draft.dropped("su", f"su {line.user}", f"the command ran as {line.user}; jobs run as the user of Jobwright")
    _inner(line, command, draft, inner)


def _shell(line: Line, command: CommandLine, draft: Draft) -> None:
    """`sh -c "…"`: the line inside is read in the same way. A script with arguments stays as it is."""
    if len(line.words) == 3 and re.fullmatch(r"-[lie]*c", line.texts[1]):
        _inner(line, command, draft, line.texts[2])


def _inner(line: Line, command: CommandLine, draft: Draft, text: str) -> None:
    inner = CommandLine(
        text=text,
        stdin=line.stdin,
        user=line.user,
        home=command.home,
        shell=command.shell,
        environment={**command.environment, **line.environment},
    )
    reduced = reduce_line(inner, draft)
    line.words, line.stdin, line.folder = reduced.words, reduced.stdin, reduced.folder or line.folder
    line.environment |= reduced.environment
    line.mail_to += reduced.mail_to


_WRAPPERS: dict[str, Callable[[Line, CommandLine, Draft], None]] = {
    "nice": _nice,
    "ionice": _nice,
    "chrt": _nice,
    "nohup": _plain,
    "setsid": _plain,
    "chronic": _plain,
    "cronic": _plain,
    "exec": _plain,
    "time": _plain,
    "timeout": _timeout,
    "flock": _flock,
    "env": _env,
    "sudo": _sudo,
    "su": _su,
    "sh": _shell,
    "bash": _shell,
    "dash": _shell,
}
