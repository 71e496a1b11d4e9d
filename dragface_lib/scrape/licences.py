"""Whose photos these are: a list of names for the README, a page of pictures for the notebook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import DragFaceError
from ..images import UnreadablePhoto, contact_sheet, open_photo
from ..manifest import Row


def credits(rows: Iterable[Row]) -> list[str]:
    """One line for each author, licence and source, with the number of photos; withdrawn rows are left out."""
    counts = Counter(
        (row.author or "author unknown", _licence(row), row.licence_url, row.page_url or row.image_url)
        for row in rows
        if not row.withdrawn
    )
    lines = []
    for (author, licence, licence_url, source), count in counts.items():
        address = f" ({licence_url})" if licence_url else ""
        ending = f", {source}" if source else ""
        lines.append(f"{count} photo{'' if count == 1 else 's'}: {author}, {licence}{address}{ending}")
    return lines


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
