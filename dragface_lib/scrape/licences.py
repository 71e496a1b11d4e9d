"""Whose photos these are: a list of names for the README, a page of pictures for the notebook."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..errors import DragFaceError
from ..images import UnreadablePhoto, contact_sheet, open_photo
from ..manifest import Row

UNKNOWN = "author unknown"
SAFE = "!#$%&'()*+,/:;=?@[]~"  # characters that an address keeps


def credits(rows: Iterable[Row]) -> list[str]:
    """One line for each author, licence and source, with the number of photos; withdrawn rows are left out."""
    counts = Counter(
        (row.author or UNKNOWN, _licence(row), row.licence_url, row.page_url or row.image_url)
        for row in rows
        if not row.withdrawn
    )
    lines = []
    for (author, licence, licence_url, source), count in counts.items():
        address = f" ({licence_url})" if licence_url else ""
        ending = f", {source}" if source else ""
        lines.append(f"{count} photo{'' if count == 1 else 's'}: {author}, {licence}{address}{ending}")
    return lines


def credits_page(rows: Iterable[Row], format: str = "md") -> str:
    """A page that names every photo with its page, author and licence. format: "md" or "html".

    Withdrawn rows are left out. What a row says is text: markup in it is shown, not obeyed.
    """
    rows = [row for row in rows if not row.withdrawn]
    page = _Html() if format == "html" else _Markdown()
    heading = f"Photos used: {len(rows)}"
    summary = [page.text(line) for line in credits(rows)]
    lines = []
    for row in rows:
        parts = [page.link(row.title or row.id, row.page_url or row.image_url), page.text(row.author or UNKNOWN)]
        lines.append(", ".join([*parts, page.link(_licence(row), row.licence_url)]) + page.text(_credit(row)))
    return page.whole(heading, [summary, lines])


def _credit(row: Row) -> str:
    """The line that the source asks to print, where it is not what stands there anyhow."""
    usual = row.attribution in ("", attribution(row.title, row.author, row.licence))
    return "" if usual else f" ({row.attribution})"


class _Markdown:
    def text(self, text: str) -> str:
        return re.sub(r"([\\`*_\[\]<>#|&!~])", r"\\\1", " ".join(text.split()))

    def link(self, text: str, url: str) -> str:
        return f"[{self.text(text)}](<{quote(url, safe=SAFE)}>)" if url else self.text(text)

    def whole(self, heading: str, lists: list[list[str]]) -> str:
        return f"# {heading}\n\n" + "\n".join("".join(f"* {line}\n" for line in lines) for lines in lists)


class _Html:
    def text(self, text: str) -> str:
        return html.escape(" ".join(text.split()))

    def link(self, text: str, url: str) -> str:
        return f'<a href="{html.escape(quote(url, safe=SAFE))}">{self.text(text)}</a>' if url else self.text(text)

    def whole(self, heading: str, lists: list[list[str]]) -> str:
        body = "\n".join("<ul>\n" + "".join(f"<li>{line}</li>\n" for line in lines) + "</ul>" for lines in lists)
        head = f'<meta charset="utf-8"><title>{heading}</title>'
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n<h1>{heading}</h1>\n{body}\n</body></html>\n'
        )


def attribution(title: str, author: str, licence: str) -> str:
    """The line that names a photo's title, author and licence, as Creative Commons asks for it."""
    by = f"by {author or 'an unknown author'}"
    return ", ".join(part for part in (f'"{title}" {by}' if title else by, licence) if part)


def licence_sheet(
    rows: Iterable[Row], photos: str | Path, limit: int = 24, columns: int = 6, cell: int = 170
) -> np.ndarray:
    """A contact sheet of at most `limit` downloaded photos, spread over all rows, each above its licence and author.

    Returns (height, width, 3) uint8 RGB; raises DragFaceError when none of the photos is there.
    """
    here = [row for row in rows if not row.withdrawn and (Path(photos) / row.file).is_file()]
    pictures, captions = [], []
    for index in np.linspace(0, len(here) - 1, min(limit, len(here))).round().astype(int):
        row = here[index]
        try:
            pictures.append(open_photo(Path(photos) / row.file))
        except UnreadablePhoto:
            continue  # damaged since it was stored; the next download finds that out and says so
        captions.append(f"{_licence(row)} · {row.author or row.title}")
    if not pictures:
        raise DragFaceError(f"None of these photos is in {photos}: run the download again.")
    return contact_sheet(pictures, columns, cell, captions)


def _licence(row: Row) -> str:
    return row.licence or "no licence stated"
