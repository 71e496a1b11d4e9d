"""The manifest: no row is lost, no broken row gets in, and the project's own one says what it must."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import COLUMNS, Row, manifest_of, merge_rows, read_manifest, write_manifest

OWN = Path(__file__).resolve().parents[1] / "data_manifest.csv"
GOOD = {"id": "a", "domain": "selfie", "file": "a.jpg", "image_url": "https://example.org/a.jpg", "licence": "CC0"}


def write(path: Path, *rows: dict, columns=COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_row_of_our_own_manifest_has_source_licence_hash_and_split():
    rows = read_manifest(OWN)
    assert len(rows) == 404
    for row in rows:
        assert row.image_url.startswith("https://")
        assert row.page_url
        assert row.licence in ("CC0 1.0", "CC BY 4.0")
        assert row.licence_url.startswith("https://creativecommons.org/")
        assert row.author
        assert len(row.sha256) == 64
        assert row.bytes
        assert row.split in ("train", "test")
        assert row.split_group


def test_our_own_test_people_are_the_agreed_ones_with_all_their_pictures():
    rows = read_manifest(OWN)
    for row in rows:
        kind, number = row.file.split("/")[0], int(re.search(r"(\d+)(_\d+)?\.jpg$", row.file)[1])
        is_test = number % 6 == 1 if kind.startswith("london") else number % 5 == 0
        assert row.split == ("test" if is_test else "train"), row.file
    people = Counter(row.split_group for row in rows)
    assert Counter(people.values()) == {1: 200, 2: 102}
    assert len({row.split_group for row in rows if row.split == "test"}) == 17 + 40


def test_what_is_written_is_read_back(tmp_path):
    row = Row("a", "selfie", "a b/ä.jpg", author='O\'Neil, "Anna"\nJr.', width=3, sha256="0" * 64, extra={"note": "x"})
    assert write_manifest(tmp_path / "m.csv", [row]) == [row]
    assert read_manifest(tmp_path / "m.csv") == [row]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"id": ""}, "id is ''"),
        ({"id": "a/b"}, "id is 'a/b'"),
        ({"domain": "anime"}, "domain is 'anime'"),
        ({"file": "../a.jpg"}, "relative path"),
        ({"file": "/a.jpg"}, "relative path"),
        ({"file": "a\\b.jpg"}, "relative path"),
        ({"file": ".a.jpg"}, "relative path"),
        ({"file": "a.exe"}, "relative path"),
        ({"image_url": "javascript:1"}, "not an http or https address"),
        ({"page_url": "ftp://example.org"}, "not an http or https address"),
        ({"width": "wide"}, "not a whole number"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"split": "validation"}, "split is 'validation'"),
        ({"status": "gone"}, "status is 'gone'"),
        ({"author": "x" * 5000}, "author is"),
        ({"title": "\x1b[2J"}, "title is"),
    ],
)
def test_a_broken_row_is_named_with_its_line(change, part, tmp_path):
    path = write(tmp_path / "m.csv", GOOD, {**GOOD, "id": "b", "file": "b.jpg", **change})
    with pytest.raises(DragFaceError, match=r"m\.csv, line 3: ") as caught:
        read_manifest(path)
    assert part in str(caught.value)
    before = path.read_bytes()
    with pytest.raises(DragFaceError, match=r"m\.csv, line 3: "):
        write_manifest(path, [Row("c", "selfie", "c.jpg")])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"file": "b.jpg"}, "line 3: the id a is there twice"),
        ({"id": "b", "file": "A.JPG"}, "is there twice"),
        ({"id": "b", "file": "b.jpg", "split": "test"}, "line 3: anna is in two splits: one group, one split"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(change, part, tmp_path):
    first = {**GOOD, "split": "train", "split_group": "anna"}
    with pytest.raises(DragFaceError, match=part):
        read_manifest(write(tmp_path / "m.csv", first, {**first, **change}))


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "no column"),
        (b"id,file\n", "no column domain"),
        (b"id,id,domain,file,image_url,licence\n", "twice"),
        (b"id,domain,file,image_url,licence\n\xff,selfie,,,", "line 2: id is 'ÿ'"),
        (b"id,domain,file,image_url,licence\na,selfie\n", "2 cells instead of 5"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_sentence(data, part, tmp_path):
    (tmp_path / "m.csv").write_bytes(data)
    with pytest.raises(DragFaceError, match=part) as caught:
        read_manifest(tmp_path / "m.csv")
    assert "m.csv" in str(caught.value)


def test_writing_keeps_rows_columns_and_knowledge_that_are_there_already(tmp_path):
    path = tmp_path / "m.csv"
    first = Row("a", "selfie", "a.jpg", author="Anna", licence="CC0", extra={"note": "keep me"})
    write_manifest(path, [first, Row("b", "selfie", "b.jpg")])
    merged = write_manifest(path, [Row("a", "selfie", "a.jpg", width=5), Row("c", "drag", "c.jpg")])
    assert merged[0] == replace(first, width=5)
    written = read_manifest(path)
    assert [row.id for row in written] == [row.id for row in merged] == ["a", "b", "c"]
    assert written[0] == merged[0]


def test_a_row_made_in_code_is_checked_too():
    for values in ({"file": "../b.jpg"}, {"width": "wide"}, {"author": None}, {"image_url": "x" * 200_000}):
        with pytest.raises(DragFaceError, match=f"{next(iter(values))} is "):
            Row(**{"id": "b", "domain": "selfie", "file": "b.jpg"} | values)


def test_rows_that_contradict_others_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest(path, [Row("a", "selfie", "a.jpg")])
    before = path.read_bytes()
    with pytest.raises(DragFaceError, match=r"m\.csv: the file selfie/a\.jpg is there twice"):
        write_manifest(path, [Row("b", "selfie", "A.jpg")])
    assert path.read_bytes() == before


def test_our_own_manifest_keeps_its_columns_when_it_is_written(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(OWN.read_bytes())
    rows = write_manifest(path, [Row("new", "drag", "new.jpg")])
    assert path.read_bytes() == OWN.read_bytes() + b"new,drag,new.jpg" + b"," * 20 + b"\n"
    assert rows[:-1] == read_manifest(OWN)


def test_the_manifest_named_by_the_environment_wins_and_must_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert manifest_of() == OWN
    monkeypatch.setenv("DRAGFACE_MANIFEST", str(write(tmp_path / "mine.csv", GOOD)))
    assert manifest_of() == tmp_path / "mine.csv"
    monkeypatch.setenv("DRAGFACE_MANIFEST", str(tmp_path / "nowhere.csv"))
    with pytest.raises(DragFaceError, match="nowhere.csv does not exist"):
        manifest_of()


def test_a_photo_lies_below_its_domain_and_no_link_leads_out_of_it(tmp_path):
    assert Row("a", "drag", "x/a.jpg").path(tmp_path) == tmp_path / "drag" / "x" / "a.jpg"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "drag").mkdir()
    (tmp_path / "drag" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DragFaceError, match="leads out of"):
        Row("a", "drag", "x/a.jpg").path(tmp_path)


def test_a_hand_edited_table_keeps_its_order_and_its_columns(tmp_path):
    path = tmp_path / "m.csv"
    text = (
        "note,licence,file,domain,id,image_url,split,rating\r\n"
        'mine,CC0,a.jpg,selfie,a,,train,"5, good"\r\n'
        ",,,,,,,\r\n"
        "last,CC0,c.jpg,selfie,c,,,2\r\n"
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    write_manifest(path, [Row("a", "selfie", "a.jpg", status="stored"), Row("d", "drag", "d.jpg")])
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = list(csv.reader(file))
    assert header[:8] == ["note", "licence", "file", "domain", "id", "image_url", "split", "rating"]
    assert set(header[8:]) == set(COLUMNS) - set(header[:8])
    assert lines[0][:8] == ["mine", "CC0", "a.jpg", "selfie", "a", "", "train", "5, good"]
    assert lines[0][header.index("status")] == "stored"
    assert [row.id for row in read_manifest(path)] == ["a", "c", "d"]


def test_what_a_hand_wrote_outlasts_a_search_that_finds_the_photo_again():
    edited = Row("a", "selfie", "a.jpg", author="Anna (asked)", split="test", split_group="anna", extra={"note": "x"})
    before = [edited, Row("b", "selfie", "b.jpg", status="withdrawn", reason="asked to")]
    again = Row("a", "selfie", "a.jpg", author="anna77", title="Me", split="train", split_group="a", status="withdrawn")
    later = Row("c", "selfie", "c.jpg", split="train", split_group="anna")
    first, second, third = merge_rows(before, [again, Row("b", "selfie", "b.jpg", status="stored"), later], True)
    assert first == replace(edited, title="Me", status="withdrawn")
    assert (second.withdrawn, second.reason) == (True, "asked to")
    assert third.split == "test"  # her group is in the test split already


def test_a_new_status_brings_its_own_reason(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest(path, [Row("a", "selfie", "a.jpg", status="failed", reason="gone")])
    [row] = write_manifest(path, [Row("a", "selfie", "a.jpg", status="stored")])
    assert (row.status, row.reason) == ("stored", "")
    [row] = write_manifest(path, [Row("a", "selfie", "a.jpg", status="withdrawn", reason="asked to")])
    [row] = write_manifest(path, [Row("a", "selfie", "a.jpg", status="stored", reason="no")])
    assert (row.status, row.reason) == ("withdrawn", "asked to")


def test_nothing_is_written_when_nothing_changes(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest(path, [Row("a", "selfie", "a.jpg", author="Anna")])
    before = path.stat()
    write_manifest(path, [Row("a", "selfie", "a.jpg")])
    write_manifest(path, [])
    assert path.stat().st_ino == before.st_ino


WRITER = """
import sys
from pathlib import Path
from dragface_lib.manifest import Row, write_manifest
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for n in range(count):
    write_manifest(path, [Row(f"{name}{n}", "selfie", f"{name}/{n}.jpg", licence="CC0")])
    print(n, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, cwd=OWN.parent, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_write_at_once_lose_no_row_of_each_other(tmp_path):
    path = tmp_path / "m.csv"
    writers = [writer(path, name, 25) for name in "xy"]
    assert [process.wait(60) for process in writers] == [0, 0]
    assert len(read_manifest(path)) == 50


def test_a_process_killed_while_it_writes_leaves_a_whole_manifest_and_no_lock(tmp_path):
    path = tmp_path / "m.csv"
    write_manifest(path, [Row(f"old{n}", "selfie", f"old/{n}.jpg") for n in range(300)])
    for name in "xyz":
        process = writer(path, name, 10_000)
        process.stdout.readline()
        time.sleep(0.05)
        process.kill()
        process.wait()
        ids = [row.id for row in read_manifest(path)]
        assert ids[:300] == [f"old{n}" for n in range(300)]
        assert f"{name}0" in ids
    write_manifest(path, [Row("after", "selfie", "after.jpg")])  # no lock was left behind


def test_the_manifest_beside_the_photos_is_used_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGFACE_MANIFEST", str(write(tmp_path / "mine.csv", GOOD)))
    assert manifest_of(tmp_path) == tmp_path / "mine.csv"
    write(tmp_path / "data_manifest.csv", GOOD)
    assert manifest_of(tmp_path) == tmp_path / "data_manifest.csv"


def test_a_manifest_is_what_img2dataset_reads(tmp_path):
    """Plain CSV: one header line, no BOM, as many cells in every line, no line breaks within cells."""
    with OWN.open(encoding="utf-8", newline="") as file:
        header, *lines = list(csv.reader(file))
    assert {"image_url", "title", "sha256", "id", "licence", "author", "page_url"} <= set(header)
    assert not OWN.read_bytes().startswith(b"\xef\xbb\xbf")
    assert {len(line) for line in lines} == {len(header)}
    assert len(OWN.read_text(encoding="utf-8").splitlines()) == len(lines) + 1  # no line breaks within cells
