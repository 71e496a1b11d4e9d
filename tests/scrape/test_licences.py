"""Every photo is shown and listed with whose it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.scrape import credits, download, licence_sheet


def test_credits_name_every_author_licence_and_source_once(mirror):
    lines = credits(mirror.rows)
    for row in mirror.rows:
        assert any(row.author in line and row.licence in line and row.page_url in line for line in lines)
    assert len(lines) == len(set(lines))
    assert sum(int(line.split()[0]) for line in lines) == len(mirror.rows)


def test_a_withdrawn_photo_is_credited_no_more_and_a_missing_licence_is_said(mirror):
    row = mirror.rows[0]
    assert credits([replace(row, status="withdrawn")]) == []
    assert "no licence stated" in credits([replace(row, licence="")])[0]


def test_the_sheet_shows_the_photos_that_are_here_with_captions(mirror, tmp_path):
    rows = mirror.rows[:2]
    download(rows, tmp_path, progress=False)
    sheet = licence_sheet(rows, tmp_path, cell=100)
    assert sheet.shape == (114, 200, 3)
    assert sheet[:100].std() > 20
    assert (sheet[100:, :100] < 128).any()
    assert (sheet[100:, 100:] < 128).any()
    one = licence_sheet([rows[0], replace(rows[1], status="withdrawn")], tmp_path, cell=100)
    assert np.array_equal(one, sheet[:, :100])


def test_the_sheet_is_limited_and_leaves_out_damaged_photos(mirror, tmp_path):
    rows = mirror.rows[:2]
    download(rows, tmp_path, progress=False)
    assert licence_sheet(rows, tmp_path, limit=1, cell=100).shape == (114, 100, 3)
    (tmp_path / rows[0].file).write_bytes(b"damaged")
    assert licence_sheet(rows, tmp_path, cell=100).shape == (114, 100, 3)


def test_without_any_photo_the_sheet_says_what_to_do(mirror, tmp_path):
    with pytest.raises(DragFaceError, match="run the download again"):
        licence_sheet(mirror.rows, tmp_path)
