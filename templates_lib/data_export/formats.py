"""Row writers: CSV, JSON lines, JSON and XLSX, each in constant memory."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import xlsxwriter
from bson import json_util

from templates_lib.base import TemplateError
from templates_lib.cells import cell_text, cell_value, formula_safe

XLSX_MAX_ROWS = 1_048_576  # Excel specifications and limits
XLSX_MAX_CELL = 32_767


class RowWriter(ABC):
    """Writes documents one by one into a byte stream."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], scratch: Path) -> None:
        self.stream, self.columns, self.scratch = stream, columns, scratch

    @abstractmethod
    def write(self, document: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Writes the end of the file. The stream stays open."""


class CsvWriter(RowWriter):
    """Writes CSV (RFC 4180) in UTF-8. Spreadsheets run no cell of it as a formula."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], scratch: Path) -> None:
        super().__init__(stream, columns, scratch)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=False)
        self._csv = csv.writer(self._text)
        self._csv.writerow([formula_safe(name) for name in columns])

    def write(self, document: Mapping[str, Any]) -> None:
        self._csv.writerow([formula_safe(cell_text(cell_value(document, name))) for name in self.columns])

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class JsonLinesWriter(RowWriter):
    """Writes one document in relaxed Extended JSON in each line."""

    def write(self, document: Mapping[str, Any]) -> None:
        self.stream.write(_json(document) + b"\n")

    def close(self) -> None:
        self.stream.flush()


class JsonWriter(RowWriter):
    """Writes one JSON array of documents in relaxed Extended JSON."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], scratch: Path) -> None:
        super().__init__(stream, columns, scratch)
        self._separator = b"[\n"

    def write(self, document: Mapping[str, Any]) -> None:
        self.stream.write(self._separator + _json(document))
        self._separator = b",\n"

    def close(self) -> None:
        self.stream.write(b"[]\n" if self._separator == b"[\n" else b"\n]\n")


class XlsxWriter(RowWriter):
    """Writes a workbook with one sheet. Its rows go through a temporary file; text is always text, never a formula or a link."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], scratch: Path) -> None:
        super().__init__(stream, columns, scratch)
        self._path = scratch / "export.xlsx"
        self._book = xlsxwriter.Workbook(
            str(self._path),
            {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "tmpdir": str(scratch)},
        )
        self._sheet = self._book.add_worksheet("Export")
        self._sheet.freeze_panes(1, 0)
        bold = self._book.add_format({"bold": True})
        for column, name in enumerate(columns):
            self._sheet.write_string(0, column, name[:XLSX_MAX_CELL], bold)
        self._row = 1

    def write(self, document: Mapping[str, Any]) -> None:
        if self._row >= XLSX_MAX_ROWS:
            raise TemplateError(f"A sheet holds {XLSX_MAX_ROWS - 1:,} rows; export as CSV or set a limit", permanent=True)
        for column, name in enumerate(self.columns):
            value = cell_text(cell_value(document, name))
            if isinstance(value, bool):
                self._sheet.write_boolean(self._row, column, value)
            elif isinstance(value, str):
                self._sheet.write_string(self._row, column, value[:XLSX_MAX_CELL])
            elif abs(value) < 2**53 and value == value:  # a double of a larger number loses digits, and Excel has no NaN
                self._sheet.write_number(self._row, column, value)
            else:
                self._sheet.write_string(self._row, column, str(value))
        self._row += 1

    def close(self) -> None:
        self._book.close()
        with self._path.open("rb") as finished:
            while chunk := finished.read(1 << 20):
                self.stream.write(chunk)


WRITERS: dict[str, type[RowWriter]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "json": JsonWriter,
    "xlsx": XlsxWriter,
}


def _json(document: Mapping[str, Any]) -> bytes:
    text = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")
