"""How good a generator is, measured on faces that it was not trained on: `python -m dragface_lib evaluate`.

report = evaluate(load_generator("runs/first/best.safetensors"), "faces")
print(report.table())
report.save("evaluation")          evaluation.json, evaluation.md, evaluation.jpg, faces.csv
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomically
from ..images import contact_sheet, save_photo
from ..manifest import write_csv
from ..model.generator import Generator
from .measures import mean_interval
from .validation import Validation, means

__all__ = ["Report", "Validation", "evaluate"]
EXAMPLES = 3  # best faces in the picture, and as many middling and worst ones
WORST = 8  # faces in the picture of the worst

# Each measure's name in the table, with its unit, and its meaning in plain words.
MEANINGS = {
    "score": ("score", "1 is the truth, 0 the selfie left alone; paint outside the face counts against it"),
    "line": ("score of lines", "details of a pixel or two: liner, lashes, edges; blur costs most here"),
    "shape": ("score of shapes", "details of two to four pixels: brows, lids, shadows"),
    "colour": ("score of colours", "what is left when details are smoothed away"),
    "eyes": ("score of the eyes", "all three levels, in both eyes alone"),
    "mouth": ("score of the lips", "all three levels, on the lips alone"),
    "makeup": ("make-up, lips and lids (CIELAB)", "how much the colour changed; from 12 on unmistakable"),
    "bare_eyes": ("eyes left bare (share)", "of all eyes, those whose lid changed by less than 6"),
    "outside": ("hair and background kept (dB)", "PSNR outside the face; from 35 on hardly anything is seen"),
    "landmark_shift": ("landmarks moved (%)", "of the eyes' distance; about 2 by make-up, more is another face"),
}


@dataclass(frozen=True)
class Report:
    """numbers: what was measured, ready for JSON: of each of its `measures` the mean (`value`), the 95 % interval
    (`low`, `high`), and for scale the mean of the selfie itself (`untouched`) and of the `truth`, null where none is
    known. rows: the measures of each face, worst first.
    picture: the best, middling and worst faces; worst: the worst ones; (H, W, 3) uint8 RGB.
    """

    numbers: dict[str, Any]
    rows: list[dict[str, Any]]
    picture: np.ndarray
    worst: np.ndarray

    def table(self) -> str:
        """The measures as a Markdown table, with what they were measured on."""
        lines = [
            "{generator}: {faces} test faces. In brackets the 95 % interval over faces.".format(**self.numbers),
            "",
            "| measure | this generator | selfie itself | truth | meaning |",
            "|---|---|---|---|---|",
        ]
        for name, measure in self.numbers["measures"].items():
            label, meaning = MEANINGS[name]
            value, low, high, untouched, truth = (
                "" if number is None else f"{round(number, 3) + 0:.3g}" for number in measure.values()
            )
            lines.append(f"| {label} | {value} ({low} to {high}) | {untouched} | {truth} | {meaning} |")
        return "\n".join(lines)

    def save(self, out: str | Path) -> None:
        """Write evaluation.json, evaluation.md, evaluation.jpg and faces.csv into the folder `out`."""
        out = Path(out)
        write_atomically(out / "evaluation.json", (json.dumps(self.numbers, indent=1) + "\n").encode())
        write_atomically(out / "evaluation.md", f"{self.table()}\n".encode())
        save_photo(out / "evaluation.jpg", self.picture)
        rows = [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in self.rows]
        write_csv(out / "faces.csv", list(rows[0]), rows)


def evaluate(generator: Generator, faces: str | Path, limit: int = 1000) -> Report:
    """Measure a generator on at most `limit` test faces of a folder or archive.

    Compared with the truth on pairs of practice faces, where there are any. Raises DragFaceError when there are no
    test faces, or neither pairs nor faces of the drag domain.
    """
    validation = Validation(faces, limit)
    drags = list(validation.translate(generator))
    rows = validation.measure_all(drags)
    untouched = means(validation.measure_all(face.bare for face in validation.faces))
    truths = [face.truth for face in validation.faces if face.truth is not None]
    truth = means(validation.measure_all(truths)) if truths else {}
    scale = {name: {"untouched": untouched[name], "truth": truth.get(name)} for name in MEANINGS}
    order = sorted(range(len(rows)), key=lambda number: rows[number]["score"])

    def sheet(numbers: list[int], captions: list[str]) -> np.ndarray:
        """Rows: selfie, ours and the truth; columns: the faces with these numbers."""
        cells = list(zip([validation.faces[n].bare for n in numbers], captions, strict=True))
        cells += [(drags[n], f"ours, score {rows[n]['score']:.2f}") for n in numbers]
        cells += [(truths[n], "truth") for n in numbers if truths]
        pictures, captions = zip(*cells, strict=True)
        return contact_sheet(pictures, columns=len(numbers), cell=160, captions=captions)

    middle = max(0, (len(order) - EXAMPLES) // 2)
    ranks = {"best": order[::-1][:EXAMPLES], "middling": order[middle:][:EXAMPLES], "worst": order[:EXAMPLES]}
    folder = "pairs/selfie" if validation.paired else "selfie/test"
    return Report(
        numbers={
            "generator": f"{generator.metadata.get('look', 'drag')}, {generator.metadata.get('steps', 'some')} steps",
            "faces": len(rows),
            "left_out": validation.left_out,
            "measures": {name: mean_interval([row[name] for row in rows]) | scale[name] for name in MEANINGS},
        },
        rows=[{"face": f"{folder}/{validation.faces[n].name}"} | rows[n] for n in order],
        picture=sheet(sum(ranks.values(), []), [rank for rank, numbers in ranks.items() for _ in numbers]),
        worst=sheet(order[:WORST], [Path(validation.faces[n].name).stem for n in order[:WORST]]),
    )
