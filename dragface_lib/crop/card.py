"""The card of a folder of faces, for people who train on them: card.md and card.png beside crops.csv."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import printable
from ..files import write_atomically
from ..images import UnreadablePhoto, contact_sheet, open_photo, save_photo
from ..manifest import DOMAINS, read_manifest
from .cutting import SIZE
from .measure import MEASUREMENTS
from .quality import GATES, limits
from .table import PRACTICE, CropRow, read_crops, sources_of

COMPARED = ("light", "background", "skin_tone", "colour", "contrast", "sharpness", "eyes", "yaw", "pitch", "hair")


def balance(rows: Sequence[CropRow]) -> str:
    """A Markdown table of the differences between the two domains' kept faces, besides make-up.

    Its last column: how often a random drag face has a higher number than a random selfie. 50 % is chance.
    """
    lines = []
    for name in COMPARED:
        selfies, drag = (
            np.array([row.numbers[name] for row in _kept(rows, domain) if name in row.numbers]) for domain in DOMAINS
        )
        if len(selfies) and len(drag):
            share = np.mean([np.mean(drag > value) + np.mean(drag == value) / 2 for value in selfies])
            medians = (f"{np.median(values):.3g}" for values in (selfies, drag))
            lines.append((name, *medians, f"{share:.0%}", MEASUREMENTS[name]))
    return _table("number | selfies | drag | drag is higher in | what it is", lines)


def write_card(faces: str | Path, manifest: str | Path | None = None, gates: Mapping[str, float] | None = None) -> Path:
    """Write FACES/card.md and FACES/card.png; returns the first. The same faces give the same bytes.

    manifest: where the licences stand. gates: the thresholds that were changed.
    """
    faces = Path(faces)
    limits(gates)  # raises for a wrong name before anything is written
    rows = read_crops(faces)
    means = [mean_face(faces, _kept(rows, domain)) for domain in DOMAINS]
    save_photo(faces / "card.png", contact_sheet(means, cell=SIZE, captions=[f"mean of {d}" for d in DOMAINS]))
    counts = []
    for domain in DOMAINS:
        states = Counter(row.split if row.status == "kept" else row.status for row in rows if row.domain == domain)
        counts.append((domain, *(states[name] for name in ("train", "test", "rejected", "no_face", "unreadable"))))
    sections = [
        "# Faces",
        _table("domain | train | test | rejected | no face | unreadable", counts),
        "![Mean faces](card.png)",
        "## What the domains differ in",
        balance(rows),
        "## Gates",
        _table(
            "number | threshold | what it is", [(gate.name, gate.threshold(gates or {}), gate.help) for gate in GATES]
        ),
        "## Sources",
        _table("licence | from | faces", _sources(rows, manifest)),
    ]
    write_atomically(faces / "card.md", ("\n\n".join(sections) + "\n").encode("utf-8", "surrogateescape"))
    return faces / "card.md"


def _table(header: str, rows: Sequence[Sequence[object]]) -> str:
    lines = [header, "|".join("---" for _ in header.split("|")), *(" | ".join(map(str, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _sources(rows: Sequence[CropRow], manifest: str | Path | None) -> list[tuple[str, str, int]]:
    """How many faces there are of each licence and author, whose text is shown and does nothing."""
    kept = [row for domain in DOMAINS for row in _kept(rows, domain)]
    sources = sources_of(kept, read_manifest(manifest) if manifest else [])
    counts = Counter((row.licence, row.author) if row else ("not in the manifest", "") for row in sources)
    return [(_plain(licence), _plain(author), count) for (licence, author), count in sorted(counts.items())]


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing to obey."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(printable(text), quote=False))


def mean_face(faces: Path, rows: Sequence[CropRow]) -> np.ndarray:
    """The mean of faces, (256, 256, 3) uint8 RGB, black without any. Its eyes are sharp where alignment is right."""
    total, count = np.zeros((SIZE, SIZE, 3), np.int64), 0
    for row in rows:
        with suppress(UnreadablePhoto):
            total, count = total + open_photo(faces / row.face), count + 1
    return (total // max(count, 1)).astype(np.uint8)


def kept_and_rejected(faces: str | Path, photos: str | Path) -> np.ndarray:
    """A contact sheet, (height, width, 3) uint8 RGB: 16 of the kept faces, then 8 photos that gave none, and why.

    photos: the folder with the photos of each domain. Faces deleted by hand are left out.
    """
    faces, photos, rows = Path(faces), Path(photos), read_crops(faces)
    kept = [row for row in rows if row.status == "kept" and (faces / row.face).is_file()]
    kept = [kept[n] for n in sorted({len(kept) * part // 16 for part in range(16)})] if kept else []
    rest = [row for row in rows if row.status != "kept"][:8]
    practice = (faces / PRACTICE).exists()  # whose drag is painted on selfies
    paths = [faces / row.face for row in kept]
    paths += [photos / ("selfie" if practice else row.domain) / row.photo for row in rest]
    pictures = []
    for path in paths:
        try:
            pictures.append(contact_sheet([open_photo(path)]))
        except UnreadablePhoto:
            pictures.append(np.full((128, 128, 3), 220, np.uint8))
    captions = [f"{row.domain}, {row.split}" for row in kept]
    captions += [f"{row.status}: {row.reason or 'by hand'}" for row in rest]
    return contact_sheet(pictures, captions=captions)


def _kept(rows: Sequence[CropRow], domain: str) -> list[CropRow]:
    return [row for row in rows if row.status == "kept" and row.domain == domain]
