"""One reader for all tables: what is wrong is named with its line, whatever program wrote the file."""

from __future__ import annotations

import pytest

from dragface_lib.csv_files import read_csv, write_csv
from dragface_lib.errors import DragFaceError


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
