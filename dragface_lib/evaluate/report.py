"""What is known of a generator, as a table and a picture: `python -m dragface_lib evaluate --faces FACES`.

report = evaluate(load_generator("runs/first/best.safetensors"), "faces")
print(report.table())
report.save("evaluation")          evaluation.json, evaluation.md, evaluation.jpg, faces.csv
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from ..files import write_atomically
from ..images import contact_sheet, save_photo
from ..model.generator import Generator
from .measures import Interval, colour_distance, mean_interval, to_lab
from .validation import TestFace, Validation

SHOWN = 3  # faces of the picture: so many of the best, of the middling and of the worst
WORST = 8  # faces that `worst_faces` shows

# Of each measure: its name in the table, its unit, and what it means in plain words.
MEANINGS = {
    "score": ("score", "", "1 is the truth, 0 the selfie left alone; paint outside the face counts against it"),
    "line": ("score of lines", "", "details of a pixel or two: liner, lashes, edges; blur costs most here"),
    "shape": ("score of shapes", "", "details of two to four pixels: brows, lids, shadows"),
    "colour": ("score of colours", "", "what is left when details are smoothed away"),
    "eyes": ("score of the eyes", "", "all three levels, in both eyes alone"),
    "mouth": ("score of the lips", "", "all three levels, on the lips alone"),
    "makeup": ("make-up, lips and lids", "CIELAB", "how much the colour changed; from 12 on unmistakable"),
    "lips": ("make-up, lips", "CIELAB", "the same, of the lips alone"),
    "left_lid": ("make-up, left lid", "CIELAB", "of the lid on the left of the picture"),
    "right_lid": ("make-up, right lid", "CIELAB", "of the lid on the right of the picture"),
    "bare_eyes": ("eyes left bare", "share", "of all eyes, those whose lid changed by less than 6"),
    "outside": ("hair and background kept", "dB", "PSNR outside the face; from 35 on hardly anything is seen"),
    "landmark_shift": (
        "landmarks moved",
        "%",
        "of the eyes' distance; about 2 by make-up alone, more is another face",
    ),
}


@dataclass(frozen=True)
class Report:
    """measures: by name, the generator's interval. untouched, truth: the same of the selfie itself and of the truth,
    for scale; truth is empty where none is known. rows: the measures of each face, worst first. picture: the best,
    middling and worst faces; worst: the worst ones, selfies above what was made of them; (H, W, 3) uint8 RGB.
    """

    about: dict[str, Any]
    measures: dict[str, Interval]
    untouched: dict[str, float]
    truth: dict[str, float]
    rows: list[dict[str, Any]]
    picture: np.ndarray
    worst: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Everything but the faces' own numbers and the pictures, for JSON."""
        measures = {}
        for name, interval in self.measures.items():
            meaning = dict(zip(("label", "unit", "meaning"), MEANINGS[name], strict=True))
            scale = {"untouched": self.untouched[name], "truth": self.truth.get(name)}
            measures[name] = interval._asdict() | scale | meaning
        return self.about | {"measures": measures}

    def table(self) -> str:
        """The measures as a Markdown table, with what they were measured on."""
        left_out = f", {len(self.about['left_out'])} left out (no landmarks)" if self.about["left_out"] else ""
        lines = [
            f"{self.about['generator']}: {self.about['faces']} test faces{left_out}. "
            "In brackets the 95 % interval over faces.",
            "",
            "| measure | this generator | selfie itself | truth | meaning |",
            "|---|---|---|---|---|",
        ]
        for name, interval in self.measures.items():
            label, unit, meaning = MEANINGS[name]
            value, low, high = (_number(number) for number in interval)
            truth = _number(self.truth[name]) if self.truth else ""
            label = f"{label} ({unit})" if unit else label
            lines.append(
                f"| {label} | {value} ({low} to {high}) | {_number(self.untouched[name])} | {truth} | {meaning} |"
            )
        return "\n".join(lines)

    def save(self, out: str | Path) -> None:
        """Write evaluation.json, evaluation.md, evaluation.jpg and faces.csv into the folder `out`."""
        out = Path(out)
        write_atomically(out / "evaluation.json", (json.dumps(self.as_dict(), indent=1) + "\n").encode())
        write_atomically(out / "evaluation.md", f"{self.table()}\n".encode())
        save_photo(out / "evaluation.jpg", self.picture)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in self.rows)
        write_atomically(out / "faces.csv", text.getvalue().encode("utf-8", "surrogateescape"))


def evaluate(generator: Generator, faces: str | Path, limit: int = 1000) -> Report:
    """Measure a generator on at most `limit` test faces of a folder or archive.

    Compared with the truth on pairs of practice faces, where there are any. Raises DragFaceError when there are no
    test faces, or neither pairs nor faces of the drag domain.
    """
    validation = Validation(faces, limit=limit)
    made = list(validation.translate(generator))
    rows = _measured(validation, made)
    truths = [face.truth for face in validation.faces if face.truth is not None]
    order = sorted(range(len(rows)), key=lambda number: rows[number]["score"])
    ranked = [(validation.faces[n], made[n], f"score {rows[n]['score']:.2f}") for n in order]
    folder = "pairs/selfie" if validation.paired else "selfie/test"
    return Report(
        {
            "generator": f"{generator.metadata.get('look', 'drag')}, {generator.metadata.get('steps', 'some')} steps",
            "size": generator.size,
            "faces": len(rows),
            "paired": validation.paired,
            "left_out": validation.left_out,
        },
        {name: mean_interval([row[name] for row in rows]) for name in rows[0]},
        _means(_measured(validation, [face.bare for face in validation.faces])),
        _means(_measured(validation, truths)) if truths else {},
        [{"face": f"{folder}/{validation.faces[n].name}"} | rows[n] for n in order],
        _picture(ranked),
        _sheet(
            [[(Path(face.name).stem, face.bare) for face, _, _ in ranked[:WORST]]]
            + [[(score, drag) for _, drag, score in ranked[:WORST]]]
        ),
    )


def worst_faces(generator: Generator, faces: str | Path, out: str | Path) -> np.ndarray:
    """Evaluate a generator and write the report into the folder `out`; going through the faces by hand can begin with
    its faces.csv. Returns a contact sheet, (H, W, 3) uint8 RGB, of the faces with the lowest scores, worst first.
    """
    report = evaluate(generator, faces)
    report.save(out)
    return report.worst


def _measured(validation: Validation, pictures: list[np.ndarray]) -> list[dict[str, float]]:
    return [validation.measure(face, picture) for face, picture in zip(validation.faces, pictures, strict=True)]


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _picture(ranked: list[tuple[TestFace, np.ndarray, str]]) -> np.ndarray:
    """Rows: input, ours, truth, difference; columns: the best, middling and worst faces. ranked: worst first."""
    best = ranked[::-1]
    middle = max(0, (len(best) - SHOWN) // 2)
    chosen = {"best": best[:SHOWN], "middling": best[middle : middle + SHOWN], "worst": best[-SHOWN:]}
    rows: list[list[tuple[str, np.ndarray]]] = [[], [], [], []]
    for rank, members in chosen.items():
        for face, drag, score in members:
            goal, against = (face.bare, "the selfie") if face.truth is None else (face.truth, "the truth")
            heat = colormaps["inferno"](colour_distance(to_lab(drag), to_lab(goal)) / 50)  # white: 50 units and more
            rows[0].append((f"{rank}: {score}", face.bare))
            rows[1].append(("ours", drag))
            rows[2] += [] if face.truth is None else [("truth", face.truth)]
            rows[3].append((f"ours against {against}", (heat[..., :3] * 255).astype(np.uint8)))
    return _sheet(rows)


def _sheet(rows: list[list[tuple[str, np.ndarray]]]) -> np.ndarray:
    """Rows of captions and pictures as a contact sheet."""
    captions, pictures = zip(*sum(rows, []), strict=True)
    return contact_sheet(pictures, columns=len(rows[0]), cell=160, captions=captions)


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
