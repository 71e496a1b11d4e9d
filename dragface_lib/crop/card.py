"""What a folder of faces holds, for whoever trains on it: card.md and card.png beside crops.csv, in the archive too.

write_card("faces", manifest="data_manifest.csv")
for line in balance(read_crops("faces")):
    print(line)

What the two domains differ in besides make-up, the generator learns as well: where all of one domain wear wigs, it
learns to draw wigs. So the report names what differs.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import write_atomically
from ..images import UnreadablePhoto, open_photo
from ..manifest import DOMAINS, read_manifest
from .quality import FACTS, GATES, limits
from .rows import CropRow, read_crops
from .splits import Listed

CARD, PICTURE = "card.md", "card.png"
FEW = 20  # faces of a domain: with fewer nothing can be said of it
APART = 0.75  # how often a random face of one domain must have the higher number: 0.5 is by chance
# What it means when drag has the higher, or the lower, number.
COMPARED = {
    "light": ("the drag faces are lighter", "the drag faces are darker, as on a stage"),
    "background": ("drag stands before lighter backgrounds", "drag stands before darker backgrounds, as on a stage"),
    "skin_tone": ("people in drag have lighter skin", "people in drag have darker skin"),
    "colour": ("the drag pictures are more colourful", "the drag pictures have less colour"),
    "contrast": ("the drag faces have more contrast", "the drag faces have less contrast"),
    "sharpness": ("the drag faces are sharper", "the drag faces are more blurred"),
    "eyes": ("the drag faces are larger in their photos", "the drag faces are smaller in their photos"),
    "resolution": ("the drag faces have more detail", "the drag faces have less detail"),
    "yaw": ("drag looks more to the right", "drag looks more to the left"),
    "pitch": ("drag looks more upwards", "drag looks more downwards"),
    "hair": ("hair is worn longer in drag", "hair is worn longer in the selfies"),
    "mirrored": ("the drag photos are cropped more closely", "the selfies are cropped more closely"),
    "glasses": ("drag looks more as if it wore glasses", "selfies look more as if they wore glasses"),
}
SHOWN = ("eyes", "yaw", "pitch", "light", "background", "skin_tone", "sharpness", "colour")


def balance(rows: Sequence[CropRow]) -> list[str]:
    """Sentences on what the kept faces of the two domains differ in besides make-up."""
    kept = {domain: [row for row in rows if row.status == "kept" and row.domain == domain] for domain in DOMAINS}
    count = {domain: len(kept[domain]) for domain in DOMAINS}
    if min(count.values()) < FEW:
        return [
            f"{count['selfie']} selfies and {count['drag']} drag faces: with fewer than {FEW} in a domain nothing can "
            "be said about what the domains differ in."
        ]
    lines = []
    if max(count.values()) > 3 * min(count.values()):
        lines.append(
            f"There are {count['selfie']} selfies and {count['drag']} drag faces: the smaller domain will be learned "
            "by heart. Gather more of it."
        )
    for name, (higher, lower) in COMPARED.items():
        selfie, drag = (_values(kept[domain], name) for domain in DOMAINS)
        if len(selfie) < FEW or len(drag) < FEW:
            continue
        share = higher_share(selfie, drag)
        if max(share, 1 - share) > APART:
            lines.append(
                f"In {max(share, 1 - share):.0%} of pairs {higher if share > 0.5 else lower} ({name}: "
                f"{np.median(selfie):.3g} in selfies, {np.median(drag):.3g} in drag, in the middle). The generator "
                "will learn that as if it were make-up: mix the sources, or leave the extremes out."
            )
    lines.append(
        "Of hair only the length is measured, roughly, and jewellery not at all: compare the two mean faces of the "
        "card. Where all of one domain wears wigs the generator learns to draw wigs, as the article on the first "
        "DragFace tells."
    )
    return lines


def higher_share(one: np.ndarray, other: np.ndarray) -> float:
    """How often a random value of `other` is above one of `one`, ties counted half (Mann and Whitney's U / n m)."""
    below = np.searchsorted(np.sort(one), other, side="left") + np.searchsorted(np.sort(one), other, side="right")
    return float(below.mean() / (2 * len(one)))


def write_card(faces: str | Path, manifest: str | Path | None = None, gates: Mapping[str, float] | None = None) -> Path:
    """Write FACES/card.md and FACES/card.png; returns the first. The same faces give the same bytes.

    manifest: where the licences stand. gates: the thresholds that were changed.
    """
    faces = Path(faces)
    limits(gates)  # a wrong name is said before anything is written
    rows = read_crops(faces)
    write_atomically(faces / PICTURE, _picture(faces, rows))
    lines = ["# Faces", "", "| domain | train | test | rejected | no face | unreadable |", "|---|---|---|---|---|---|"]
    for domain in DOMAINS:
        places = Counter((row.status, row.split) for row in rows if row.domain == domain)
        states = Counter(row.status for row in rows if row.domain == domain)
        counts = (places["kept", "train"], places["kept", "test"], states["rejected"], states["no_face"])
        lines.append(f"| {domain} | {' | '.join(map(str, counts))} | {states['unreadable']} |")
    lines += ["", f"![Mean faces, and how both domains differ]({PICTURE})", "", "## What the domains differ in", ""]
    lines += [f"* {line}" for line in balance(rows)]
    lines += ["", "## Why faces were rejected", "", "| reason | faces |", "|---|---|"]
    reasons = Counter(row.reason.split(":")[0].split(" by ")[0] for row in rows if row.status == "rejected")
    reasons = Counter({"a copy of another photo": 0}) + Counter(
        "a copy of another photo" if reason.startswith("a copy of") else reason for reason in reasons.elements()
    )
    lines += [f"| {reason} | {count} |" for reason, count in sorted(reasons.items())]
    lines += ["", "## Gates", "", "| number | threshold | what it is |", "|---|---|---|"]
    for gate in GATES:
        lines.append(f"| {gate.name} | {gate.threshold(gates or {})} | {gate.help} |")
    lines += [f"| {name} | none | {meaning} |" for name, meaning in FACTS.items()]
    lines += ["", "## Sources", "", "| licence | from | faces |", "|---|---|---|"]
    lines += [f"| {licence} | {author} | {count} |" for (licence, author), count in _sources(rows, manifest)]
    write_atomically(faces / CARD, ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    return faces / CARD


def _sources(rows: Sequence[CropRow], manifest: str | Path | None) -> list[tuple[tuple[str, str], int]]:
    entries = read_manifest(manifest) if manifest else []
    known = {domain: Listed(entries, Path("photos"), domain) for domain in DOMAINS}
    # Of photos that were cropped from a folder further down only the group is left of the manifest's names.
    groups = {entry.split_group: entry for entry in entries if entry.split_group}
    found: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.status == "kept" and row.domain in DOMAINS:
            entry = known[row.domain].find(row.photo) or groups.get(row.split_group)
            found[(entry.licence, entry.author) if entry is not None else ("not in the manifest", "")] += 1
    return sorted(found.items())


def mean_face(faces: str | Path, rows: Sequence[CropRow]) -> np.ndarray | None:
    """The mean of the kept faces, (256, 256, 3) uint8 RGB: eyes and mouth are sharp where alignment is right."""
    total, count = np.zeros((256, 256, 3), np.int64), 0
    for row in rows:
        try:
            face = open_photo(Path(faces) / row.face)
        except UnreadablePhoto:
            continue
        if row.status == "kept" and face.shape == total.shape:
            total, count = total + face, count + 1
    return (total // count).astype(np.uint8) if count else None


def _values(rows: Sequence[CropRow], name: str) -> np.ndarray:
    return np.array([row.numbers[name] for row in rows if name in row.numbers])


def _picture(faces: Path, rows: Sequence[CropRow]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 5)
    for place, domain, colour in zip(axes[:, 0], DOMAINS, ("#3366aa", "#cc3377"), strict=True):
        kept = [row for row in rows if row.status == "kept" and row.domain == domain]
        mean = mean_face(faces, kept)
        place.imshow(np.full((256, 256, 3), 235, np.uint8) if mean is None else mean)
        place.set_title(f"{domain}: mean of {len(kept)}", color=colour)
        place.axis("off")
        for name, plot in zip(SHOWN, axes[:, 1:].ravel(), strict=True):
            values = _values(kept, name)
            if len(values):
                share = np.full(len(values), 1 / len(values))
                every = _values([row for row in rows if row.status == "kept"], name)
                bins = np.linspace(every.min(), every.max() + 1e-6, 24)
                plot.hist(values, bins, weights=share, color=colour, alpha=0.55, label=domain)
            plot.set_title(name.replace("_", " "))
            plot.set_yticks([])
    if axes[0, 1].has_data():
        axes[0, 1].legend(fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=80, metadata={"Software": None})
    return data.getvalue()
