"""What a folder of faces holds, for whoever trains on it: card.md and card.png beside crops.csv, in the archive too.

write_card("faces", manifest="data_manifest.csv")
print(*balance(read_crops("faces")), sep="\n")

The generator learns whatever the two domains differ in, as if it were make-up: where all of one domain wear wigs, it
draws wigs. So the card names what differs.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import write_atomically
from ..images import UnreadablePhoto, contact_sheet, open_photo, resize
from ..manifest import DOMAINS, read_manifest
from .measure import MEASUREMENTS
from .quality import GATES, limits
from .splits import manifest_rows
from .table import PRACTICE, CropRow, read_crops

FEW = 20  # faces of a domain: fewer say nothing
APART = 0.75  # how often a random drag face must have the higher number than a random selfie; 0.5 is by chance
# What it means when drag has the higher number, and the lower.
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
    selfies, drag = (_kept(rows, domain) for domain in DOMAINS)
    count = f"There are {len(selfies)} selfies and {len(drag)} drag faces"
    few, many = sorted((len(selfies), len(drag)))
    if few < FEW:
        return [f"{count}: with fewer than {FEW} in a domain nothing can be said about what the domains differ in."]
    lines = [f"{count}: the smaller domain will be learned by heart. Gather more of it."] if many > 3 * few else []
    for name, (higher, lower) in COMPARED.items():
        values = [_values(kept, name) for kept in (selfies, drag)]
        if min(map(len, values)) < FEW:
            continue
        share = higher_share(*values)
        if max(share, 1 - share) > APART:
            lines.append(
                f"In {max(share, 1 - share):.0%} of pairs {higher if share > 0.5 else lower} (median {name}: "
                f"{np.median(values[0]):.3g} in selfies, {np.median(values[1]):.3g} in drag). The generator "
                "will learn that as if it were make-up: mix the sources, or leave the extremes out."
            )
    lines.append(
        "Of hair only the length is measured, roughly, and jewellery not at all: compare the two mean faces of the "
        "card. Where all of one domain wears wigs the generator learns to draw wigs, as the article on the first "
        "DragFace tells."
    )
    return lines


def higher_share(selfies: np.ndarray, drag: np.ndarray) -> float:
    """How often a random value of `drag` is above one of `selfies`, ties counted half (Mann and Whitney's U / n m)."""
    below = sum(np.searchsorted(np.sort(selfies), drag, side) for side in ("left", "right"))
    return float(np.mean(below) / (2 * len(selfies)))


def write_card(faces: str | Path, manifest: str | Path | None = None, gates: Mapping[str, float] | None = None) -> Path:
    """Write FACES/card.md and FACES/card.png; returns the first. The same faces give the same bytes.

    manifest: where the licences stand. gates: the thresholds that were changed.
    """
    faces = Path(faces)
    limits(gates)  # a wrong name is said before anything is written
    rows = read_crops(faces)
    write_atomically(faces / "card.png", _picture(faces, rows))
    counts = []
    for domain in DOMAINS:
        states = Counter(row.status for row in rows if row.domain == domain)
        splits = Counter(row.split for row in _kept(rows, domain))
        rest = (states["rejected"], states["no_face"], states["unreadable"])
        counts.append((domain, splits["train"], splits["test"], *rest))
    reasons = Counter(_reason(row) for row in rows if row.status == "rejected")
    thresholds = {gate.name: gate.threshold(gates or {}) for gate in GATES}
    numbers = [(name, thresholds.get(name, "none"), meaning) for name, meaning in MEASUREMENTS.items()]
    sections = [
        "# Faces",
        _table("domain | train | test | rejected | no face | unreadable", counts),
        "![Mean faces, and how both domains differ](card.png)",
        "## What the domains differ in",
        "\n".join(f"* {line}" for line in balance(rows)),
        "## Why faces were rejected",
        _table("reason | faces", sorted(reasons.items())),
        "## Gates",
        _table("number | threshold | what it is", numbers),
        "## Sources",
        _table("licence | from | faces", _sources(rows, manifest)),
    ]
    write_atomically(faces / "card.md", ("\n\n".join(sections) + "\n").encode("utf-8", "surrogateescape"))
    return faces / "card.md"


def _table(header: str, rows: Sequence[Sequence[object]]) -> str:
    lines = [header, "|".join("---" for _ in header.split("|")), *(" | ".join(map(str, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _reason(row: CropRow) -> str:
    """The reason of a rejected face without its numbers and names."""
    if row.copy_of:
        return "a copy of another photo"
    return row.reason.split(":")[0].split(" by ")[0] or "by hand"


def _sources(rows: Sequence[CropRow], manifest: str | Path | None) -> list[tuple[str, str, int]]:
    """How many faces there are of each licence and author."""
    listed = read_manifest(manifest) if manifest else []
    # Of photos that were cropped from a folder further down only the group is left of the manifest's names.
    groups = {row.split_group: row for row in listed if row.split_group}
    counts: Counter[tuple[str, str]] = Counter()
    for domain in DOMAINS:
        kept = _kept(rows, domain)
        known = manifest_rows({r.photo for r in kept}, Path("photos"), [r for r in listed if r.domain == domain])
        for row in kept:
            source = known.get(row.photo) or groups.get(row.split_group)
            counts[(source.licence, source.author) if source is not None else ("not in the manifest", "")] += 1
    return [(*source, count) for source, count in sorted(counts.items())]


def mean_face(faces: Path, rows: Sequence[CropRow]) -> np.ndarray | None:
    """The mean of kept faces, (256, 256, 3) uint8 RGB: eyes and mouth are sharp where alignment is right."""
    total, count = np.zeros((256, 256, 3), np.int64), 0
    for row in rows:
        try:
            face = open_photo(faces / row.face)
        except UnreadablePhoto:
            continue
        if face.shape == total.shape:
            total, count = total + face, count + 1
    return (total // count).astype(np.uint8) if count else None


def kept_and_rejected(faces: str | Path, photos: str | Path) -> np.ndarray:
    """A contact sheet, (height, width, 3) uint8 RGB: 16 of the kept faces, then 8 photos that gave none, and why.

    photos: the folder with the photos of each domain. Faces deleted by hand are left out.
    """
    faces, photos, rows = Path(faces), Path(photos), read_crops(faces)
    kept = [row for row in rows if row.status == "kept" and (faces / row.face).is_file()]
    kept = [kept[n] for n in np.unique(np.linspace(0, len(kept) - 1, 16).astype(int))] if kept else []
    rest = [row for row in rows if row.status != "kept"][:8]
    practice = (faces / PRACTICE).exists()  # whose drag is painted on selfies
    paths = [faces / row.face for row in kept]
    paths += [photos / ("selfie" if practice else row.domain) / row.photo for row in rest]
    pictures = []
    for path in paths:
        try:
            photo = open_photo(path)
            pictures.append(resize(photo, *(max(1, 128 * side // max(photo.shape)) for side in photo.shape[:2])))
        except UnreadablePhoto:
            pictures.append(np.full((128, 128, 3), 220, np.uint8))
    captions = [f"{row.domain}, {row.split}" for row in kept]
    captions += [f"{row.status}: {row.reason or 'by hand'}" for row in rest]
    return contact_sheet(pictures, columns=8, cell=128, captions=captions)


def _kept(rows: Sequence[CropRow], domain: str) -> list[CropRow]:
    return [row for row in rows if row.status == "kept" and row.domain == domain]


def _values(rows: Sequence[CropRow], name: str) -> np.ndarray:
    return np.array([row.numbers[name] for row in rows if name in row.numbers])


def _picture(faces: Path, rows: Sequence[CropRow]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 5)
    for face_axis, domain, colour in zip(axes[:, 0], DOMAINS, ("#3366aa", "#cc3377"), strict=True):
        kept = _kept(rows, domain)
        mean = mean_face(faces, kept)
        face_axis.imshow(np.full((256, 256, 3), 235, np.uint8) if mean is None else mean)
        face_axis.set_title(f"{domain}: mean of {len(kept)}", color=colour)
        face_axis.axis("off")
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
