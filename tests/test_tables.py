"""One reader for all tables: what is wrong is named with its line, whatever program wrote the file."""

from __future__ import annotations

import codecs
import csv
import errno
from pathlib import Path
from unittest.mock import Mock

import pytest

from dragface_lib import files
from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import path_below, read_csv, write_csv


def test_what_was_written_is_read_whatever_a_spreadsheet_made_of_it(tmp_path):
    path = tmp_path / "table.csv"
    rows = [{"name": "a, b", "note": 'say "yes"'}, {"name": "ë\n2", "note": ""}]
    write_csv(path, ["name", "note"], [rows[0], {"name": "ë\n2", "more": 1}])
    assert read_csv(path, ["name"]) == [(2, rows[0]), (4, rows[1])]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b'"\n', b'"\r\n') + b",\r\n\r\n")
    assert [row for _, row in read_csv(path, ["name"])] == rows


def test_names_that_are_not_utf_8_come_back_as_they_were(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["name"], [{"name": "\udcff.jpg"}])
    assert read_csv(path, ["name"]) == [(2, {"name": "\udcff.jpg"})]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 0: there is no column name"),
        (b"note\nx\n", "line 1: there is no column name"),
        (b"name,name\n", "line 1: a column is there twice"),
        (b"name,note\na,b\nc\n", "line 3: 1 cells instead of 2"),
        (b"name\na,b\n", "line 2: 2 cells instead of 1"),
        (b'name\n"a\n', "line 2: unexpected end of data"),
    ],
)
def test_a_table_with_a_fault_is_one_sentence_with_the_line(tmp_path, content, fault):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DragFaceError, match=f"table.csv, {fault}"):
        read_csv(tmp_path / "table.csv", ["name"])


def test_a_table_that_is_none_is_one_sentence(tmp_path):
    with pytest.raises(DragFaceError, match="cannot be read"):
        read_csv(tmp_path / "table.csv", ["name"])
    with pytest.raises(DragFaceError, match="cannot be read"):
        read_csv(tmp_path, ["name"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_as_any_spreadsheet_saves_it(tmp_path, encoding, delimiter):
    text = f"name{delimiter}note\r\nZoë.jpg{delimiter}“fine”\r\n"
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    (tmp_path / "table.csv").write_bytes(mark + text.encode(encoding))
    assert read_csv(tmp_path / "table.csv", ["name"]) == [(2, {"name": "Zoë.jpg", "note": "“fine”"})]


def test_no_cell_is_a_formula_to_a_spreadsheet_and_all_come_back(tmp_path):
    path = tmp_path / "table.csv"
    texts = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@sum(1)", "\t=1", "'=1", "''@x", "'quoted'", "-0.25", "1e-05", "-"]
    write_csv(path, ["=name"], [{"=name": text} for text in texts])
    with open(path, newline="", encoding="utf-8") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r"] == ["-0.25"]  # a number
    assert [row["=name"] for _, row in read_csv(path, ["=name"])] == texts


def test_a_drive_that_does_not_answer_is_no_table_with_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", (0, 0))
    write_csv(tmp_path / "table.csv", ["name"], [])
    errors = [OSError(errno.EIO, "Input/output error")] * 2
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=[*errors, b"name\na\n", *errors, *errors]))
    assert read_csv(tmp_path / "table.csv", ["name"]) == [(2, {"name": "a"})]
    with pytest.raises(files.Unavailable, match="try again"):
        read_csv(tmp_path / "table.csv", ["name"])


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "a\0b", "x" * 256, "x/" * 2000, "link/a", "leaf"])
def test_a_name_leads_nowhere_but_below_its_folder(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "leaf").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DragFaceError, match="leads out of|is no name of a file"):
        path_below(folder, name)
    assert path_below(folder, "a/b.jpg") == folder / "a/b.jpg"
