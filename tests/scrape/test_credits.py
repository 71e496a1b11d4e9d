"""Every photo is shown and listed with whose it is."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import Row
from dragface_lib.scrape import credits, credits_page, licence_sheet
from dragface_lib.scrape.download import download


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


def test_the_sheet_shows_undamaged_photos_that_are_here_with_captions(mirror, tmp_path):
    rows = mirror.rows[:2]
    with pytest.raises(DragFaceError, match="run the download again"):
        licence_sheet(rows, tmp_path)
    list(download([(row, None) for row in rows], tmp_path, progress=False))
    sheet = licence_sheet(rows, tmp_path)
    assert sheet.shape == (184, 340, 3)
    assert sheet[:170].std() > 20
    assert (sheet[170:, :170] < 128).any()
    assert (sheet[170:, 170:] < 128).any()
    assert licence_sheet([rows[0], replace(rows[1], status="withdrawn")], tmp_path).shape == (184, 170, 3)
    assert licence_sheet(rows, tmp_path, limit=1).shape == (184, 170, 3)
    rows[0].path(tmp_path).write_bytes(b"damaged")
    assert licence_sheet(rows, tmp_path).shape == (184, 170, 3)


class Page(HTMLParser):
    """The text and the links of a page; fails on anything that a row smuggled in."""

    def __init__(self, text: str):
        super().__init__()
        self.texts, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        assert tag in ("html", "head", "meta", "title", "body", "h1", "ul", "li", "a")
        assert {name for name, _ in attrs} <= {"lang", "charset", "href", "http-equiv", "content"}
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, text):
        self.texts.append(text)


def test_a_page_of_credits_names_and_links_everything_and_obeys_no_markup():
    hostile = Row(
        "a",
        "drag",
        "a.jpg",
        page_url='https://example.org/"onclick="x)',
        licence="CC BY 4.0",
        licence_url="https://creativecommons.org/licenses/by/4.0/",
        author="<script>alert(1)</script> [x](javascript:1)",
        title="*Queen* | <b>one</b>",
        attribution="Photo: Jo & Co",
    )
    gone = Row("b", "drag", "b.jpg", author="Gone", status="withdrawn")
    page = Page(credits_page([hostile, gone]))
    text = "".join(page.texts)
    for part in (hostile.author, hostile.title, "CC BY 4.0", " (Photo: Jo & Co)", "Photos used: 1"):
        assert part in text
    assert "Gone" not in text
    assert "https://creativecommons.org/licenses/by/4.0/" in page.links
    assert "default-src 'none'" in credits_page([hostile])
