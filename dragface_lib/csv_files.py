"""Tables in CSV files: read with one set of checks, written in one step.

for line, cells in read_csv("faces/crops.csv", required=("photo", "status")):
    print(line, cells["photo"])
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .errors import DragFaceError
from .files import write_atomically


def read_csv(path: str | Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, {column: text}) of each row, with or without BOM and CRLF; empty lines are skipped.

    Bytes that are not UTF-8 become surrogates, as in names of files. Raises DragFaceError naming the line when a
    required column is missing, a row has more or fewer cells than the header, or quotes do not match.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DragFaceError(f"{path} cannot be read ({error.strerror}): check the name of the table.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in required if name not in header]:
            raise ValueError(f"there is no column {missing[0]}")
        if len(set(header)) < len(header):
            raise ValueError("a column is there twice")
        for cells in reader:
            if any(cells):  # spreadsheets leave empty lines at the end
                if len(cells) != len(header):
                    raise ValueError(f"{len(cells)} cells instead of {len(header)}")
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except (csv.Error, ValueError) as error:
        raise DragFaceError(
            f"{path}, line {reader.line_num}: {error}: mend the line, or move the table away."
        ) from error
    return rows


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table in one step (see `files.replace_atomically`); what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))
