"""What a command prints: whole lines, masked secrets, and the lines by which it reports progress and a result."""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from templates_lib.base import RunContext
from templates_lib.masks import Mask

LONGEST_LINE = 4_000  # characters; what is longer goes on in the next line of the log
LONGEST_REPORT = 262_144  # characters of a line that begins with ::
MOST_LOGGED = 10_000_000  # bytes, counted as the log of an attempt counts (JOBWRIGHT_JOB_LOG_BYTES)
LINE_BYTES = 40  # what a line counts beside its text
TAIL_LINES = 20
LONGEST_TAIL = 500  # characters of each of its lines
_PROGRESS = re.compile(r"::progress (\d{1,15})(?:/(\d{1,15}))?(?: (.*))?")


class Lines:
    """Makes lines of the bytes of a stream. A line whose end is not in sight is cut, where no secret is cut."""

    def __init__(self, mask: Mask) -> None:
        self._mask, self._rest = mask, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data: bytes) -> Iterator[str]:
        """Yields the masked lines that `data` completes. No data means the end: a last line needs no line break."""
        *lines, self._rest = (self._rest + self._decoder.decode(data, final=not data)).split("\n")
        if not data and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            yield self._mask.text(line.removesuffix("\r"))
        yield from self._cut()

    def _cut(self) -> Iterator[str]:
        """Yields pieces of a line whose end is not in sight. What may be the beginning of a secret waits."""
        if self._rest.startswith("::") and len(self._rest) <= LONGEST_REPORT:
            return
        if len(self._rest) > LONGEST_LINE + self._mask.longest:
            self._rest = self._mask.text(self._rest)
        while len(self._rest) > LONGEST_LINE + self._mask.longest:
            yield self._rest[:LONGEST_LINE]
            self._rest = self._rest[LONGEST_LINE:]


class Output:
    """Takes the lines of a command: logs them within bounds, and keeps what they report."""

    def __init__(self, ctx: RunContext, mask: Mask, *, error_level: int) -> None:
        """`error_level` is the level of the lines of standard error in the log."""
        self._ctx, self._mask, self._error_level = ctx, mask, error_level
        self._streams = {False: Lines(mask), True: Lines(mask)}
        self._logged_bytes = 0
        self._binary_bytes = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.lines = self.error_lines = self.unlogged = 0
        self.last_error = ""
        self.result: dict[str, Any] = {}

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._tail)

    def feed(self, data: bytes, *, error: bool) -> None:
        """Takes what was read from standard output, or of standard error; no data at its end."""
        for line in self._streams[error].feed(data):
            if error:
                self.error_lines += 1
            else:
                self.lines += 1
            if error or not self._take_report(line):
                for start in range(0, max(len(line), 1), LONGEST_LINE):
                    self._take(line[start : start + LONGEST_LINE], error=error)

    def close(self) -> None:
        """Takes the last lines, which need no line break, and says what is not in the log."""
        for error in (False, True):
            self.feed(b"", error=error)
        if self._binary_bytes:
            self._ctx.log.warning("%s characters of binary output are not shown", f"{self._binary_bytes:,}")
        if self.unlogged:
            self._ctx.log.warning("%s further lines are not in the log. The last lines were:", f"{self.unlogged:,}")
            for line in self._tail:
                self._ctx.log.info("%s", line)

    def _take(self, line: str, *, error: bool) -> None:
        if _is_binary(line):
            self._binary_bytes += len(line)
            return
        if line.strip():
            self._tail.append(line[:LONGEST_TAIL])
            self.last_error = line[:LONGEST_TAIL].strip() if error else self.last_error
        if self._logged_bytes > MOST_LOGGED:
            self.unlogged += 1
            return
        self._logged_bytes += len(line) + LINE_BYTES
        self._ctx.log.log(self._error_level if error else logging.INFO, "%s", line)

    def _take_report(self, line: str) -> bool:
        """Returns whether a line reports progress or a result; then it is not logged."""
        if line.startswith("::progress ") and (found := _PROGRESS.fullmatch(line)):
            done, total, note = found.groups()
            self._ctx.progress(int(done), int(total) if total else None, note or "")
            return True
        if line.startswith("::result "):
            try:
                result = json.loads(line.removeprefix("::result "))
            except (ValueError, RecursionError):
                result = None
            if isinstance(result, dict):
                self.result = self._mask.value(result)
                return True
            self._ctx.log.warning("A line begins with ::result, but no JSON object follows")
        return False


def _is_binary(line: str) -> bool:
    return "\0" in line or line.count("\ufffd") * 3 > len(line)
