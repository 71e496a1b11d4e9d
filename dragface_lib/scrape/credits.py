"""Whose photos these are: a list of names for the README, a page of pictures for the notebook."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..errors import DragFaceError
from ..files import kind_of
from ..images import UnreadablePhoto, contact_sheet, open_photo
from ..manifest import Row

UNKNOWN = "author unknown"
UNLICENSED = "no licence stated"
SAFE = "!#$%&'()*+,/:;=?@[]~"  # characters that an address keeps
CREDITS_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<title>{heading}</title></head><body>
<h1>{heading}</h1>
{lists}
</body></html>
"""


def credits(rows: Iterable[Row]) -> list[str]:
    """One line for each author, licence and source, with the number of photos; withdrawn rows are left out."""
    counts = Counter(
        (row.author or UNKNOWN, row.licence or UNLICENSED, row.licence_url, row.page_url or row.image_url)
        for row in rows
        if not row.withdrawn
    )
    lines = []
    for (author, licence, licence_url, source), count in counts.items():
        address, ending = f" ({licence_url})" if licence_url else "", f", {source}" if source else ""
        lines.append(f"{count} photo{'' if count == 1 else 's'}: {author}, {licence}{address}{ending}")
    return lines


def credits_page(rows: Iterable[Row]) -> str:
    """A page in HTML that names every photo with its page, author and licence; withdrawn rows are left out.

    What a row says is text: markup in it is shown, not obeyed.
    """
    rows = [row for row in rows if not row.withdrawn]
    photos = []
    for row in rows:
        usual = row.attribution in ("", f'"{row.title}" by {row.author}, {row.licence}')
        title = _link(row.title or row.id, row.page_url or row.image_url)
        licence = _link(row.licence or UNLICENSED, row.licence_url)
        asked = "" if usual else f" ({html.escape(row.attribution)})"
        photos.append(f"{title}, {html.escape(row.author or UNKNOWN)}, {licence}{asked}")
    lists = ["\n".join(f"<li>{line}</li>" for line in lines) for lines in (map(html.escape, credits(rows)), photos)]
    return CREDITS_PAGE.format(
        heading=f"Photos used: {len(rows)}", lists="\n".join(f"<ul>\n{lines}\n</ul>" for lines in lists)
    )


def _link(words: str, url: str) -> str:
    return f'<a href="{html.escape(quote(url, safe=SAFE))}">{html.escape(words)}</a>' if url else html.escape(words)


def licence_sheet(rows: Iterable[Row], photos: str | Path, limit: int = 24) -> np.ndarray:
    """A contact sheet of at most `limit` downloaded photos, spread over all rows, each above its licence and author.

    photos: the folder of both domains. Returns (height, width, 3) uint8 RGB; raises DragFaceError when none of the
    photos is there.
    """
    here = [row for row in rows if not row.withdrawn and kind_of(row.path(photos)) == "file"]
    pictures, captions = [], []
    for index in np.linspace(0, len(here) - 1, min(limit, len(here))).round().astype(int):
        row = here[index]
        try:
            pictures.append(open_photo(row.path(photos)))
        except UnreadablePhoto:
            continue  # damaged since it was stored
        captions.append(f"{row.licence or UNLICENSED} · {row.author or row.title}")
    if not pictures:
        raise DragFaceError(f"None of these photos is in {photos}: run the download again.")
    return contact_sheet(pictures, 6, 170, captions)
