"""What is known of a generator, as a table and a picture: `python -m dragface_lib evaluate --faces FACES`.

report = evaluate(load_generator("runs/first/generator.safetensors"), "faces")
print(report.table())
report.save("evaluation")          evaluation.json, evaluation.md, evaluation.jpg, faces.csv
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from skimage.metrics import structural_similarity

from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, Landmarks
from ..errors import DragFaceError
from ..files import write_atomically
from ..images import contact_sheet, resize, save_photo
from ..model.generator import Generator
from ..train.data import FaceSet
from .features import Features, open_features
from .measures import FACE, Interval, colour_distance, kid, mean_interval, means, psnr, to_lab
from .validation import BROWS, CHEEKS, LEFT, LIPS, RIGHT, TestFace, Validation

REFERENCES = 200  # faces of each domain that distances are measured to
SHOWN = 3  # faces of the picture: so many of the best, of the middling and of the worst
STEADY = sorted({0, 1}.union(*CONTOURS.values()))  # landmarks on the face; the others guess at hair and shoulders

# Of each measure: its name in the table, its unit, and what it means in plain words.
MEANINGS = {
    "score": ("score", "", "1 is the truth, 0 the selfie left alone; spilling over the background counts against it"),
    "kid_drag": ("distance to drag (KID)", "", "0: not to be told from the drag faces it learned from"),
    "kid_selfie": ("distance to selfies (KID)", "", "0: not to be told from selfies, so nothing was painted"),
    "psnr": ("PSNR to the truth", "dB", "closeness of the whole picture, pixel for pixel; more is closer"),
    "ssim": ("SSIM to the truth", "", "closeness of structure over the whole picture; 1 is the same"),
    "truth_lips": ("colour error, lips", "CIELAB", "from the true colour; 2 is just seen, 10 is another colour"),
    "truth_lids": ("colour error, lids", "CIELAB", "from the true colour"),
    "truth_brows": ("colour error, brows", "CIELAB", "from the true colour; a brow drawn elsewhere counts too"),
    "truth_cheeks": ("colour error, cheeks", "CIELAB", "from the true colour"),
    "background_db": ("background and hair kept", "dB", "PSNR outside the face; from 35 on hardly anything is seen"),
    "landmark_shift": (
        "landmarks moved",
        "%",
        "of the distance of the eyes; about 2 by make-up alone, more is another face",
    ),
    "makeup": ("make-up, lips and lids", "CIELAB", "how much the colour changed; from 12 on unmistakable"),
    "lips": ("make-up, lips", "CIELAB", "the same, of the lips alone"),
    "left_lid": ("make-up, left lid", "CIELAB", "of the lid on the left of the picture"),
    "right_lid": ("make-up, right lid", "CIELAB", "of the lid on the right of the picture"),
    "bare_eyes": ("eyes left bare", "share", "of all eyes, those whose lid changed by less than 6"),
    "cam_logit": ("CAM logit", "", "below 0 the generator takes the selfie for drag already, and leaves it bare"),
}
NO_EMBEDDING = (
    "Whether the person is still recognised is measured by landmarks alone: no face-recognition network with a free "
    "licence comes along, so there is no embedding distance."
)


@dataclass(frozen=True)
class Report:
    """measures: by name, the generator's interval. untouched, truth: the same of the selfie itself and of the truth,
    for scale; truth is empty where none is known. rows: the measures of each face, worst first.
    """

    about: dict[str, Any]
    measures: dict[str, Interval]
    untouched: dict[str, float]
    truth: dict[str, float]
    rows: list[dict[str, Any]]
    picture: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Everything but the faces' own numbers and the picture, for JSON."""
        found = {}
        for name, interval in self.measures.items():
            label, unit, meaning = MEANINGS[name]
            found[name] = interval._asdict() | {"untouched": self.untouched.get(name), "truth": self.truth.get(name)}
            found[name] |= {"label": label, "unit": unit, "meaning": meaning}
        return self.about | {"measures": found}

    def table(self) -> str:
        """The measures as a Markdown table, with what they were measured on."""
        about = self.about
        lines = [
            f"{about['generator']}: {about['faces']} test faces at {about['size']} px"
            + (f", {len(about['left_out'])} left out (no landmarks)" if about["left_out"] else "")
            + f". In brackets the 95 % interval over faces. KID by {about['features']}.",
            "",
            "| measure | this generator | selfie itself | truth | meaning |",
            "|---|---|---|---|---|",
        ]
        for name, (value, low, high) in self.measures.items():
            label, unit, meaning = MEANINGS[name]
            others = [_number(column[name]) if name in column else "" for column in (self.untouched, self.truth)]
            label = f"{label} ({unit})" if unit else label
            ours = f"{_number(value)} ({_number(low)} to {_number(high)})"
            lines.append(f"| {label} | {ours} | {others[0]} | {others[1]} | {meaning} |")
        return "\n".join([*lines, "", NO_EMBEDDING])

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


def evaluate(
    generator: Generator, faces: str | Path, limit: int = 1000, features: Callable[[], Features] = open_features
) -> Report:
    """Measure a generator on at most `limit` test faces of a folder or archive, at the generator's own size.

    Compared with the truth on pairs of practice faces, where there are any. The distances are to the training faces of
    each domain, whom no test face shows. Raises DragFaceError when there are no test faces, or no training faces.
    """
    validation = Validation(faces, generator.size, limit)
    known = validation.faces[0].truth is not None
    landmarks = Landmarks.load()

    def measured(face: TestFace, drag: np.ndarray) -> dict[str, float]:
        return validation.measure(face, drag) | _more_of(face, drag, landmarks)

    made = list(validation.translate(generator))
    rows = [
        measured(face, drag) | {"cam_logit": logit} for face, (drag, logit) in zip(validation.faces, made, strict=True)
    ]
    measures = {name: mean_interval([row[name] for row in rows]) for name in rows[0]}
    columns = {"untouched": [face.bare for face in validation.faces]}
    columns |= {"truth": [face.truth for face in validation.faces if face.truth is not None]} if known else {}
    others = {}
    for column, pictures in columns.items():
        found = [measured(face, picture) for face, picture in zip(validation.faces, pictures, strict=True)]
        others[column] = {name: float(np.mean([row[name] for row in found])) for name in found[0]}
    network = features()
    distances = _distances(network, faces, generator.size, {"made": [drag for drag, _ in made], **columns})
    measures |= distances["made"]
    for column, found in others.items():
        found |= {name: interval.value for name, interval in distances[column].items()}
    metadata = generator.metadata
    about = {
        "generator": f"{metadata.get('look', 'drag')}, {metadata.get('steps', 'some')} steps",
        "size": generator.size,
        "faces": len(rows),
        "paired": known,
        "left_out": validation.left_out,
        "features": network.name,
    }
    order = sorted(range(len(rows)), key=lambda n: rows[n]["score"])
    return Report(
        about,
        {name: measures[name] for name in MEANINGS if name in measures},
        others["untouched"],
        others.get("truth", {}),
        [{"face": _file(validation.faces[n].name, validation.paired)} | rows[n] for n in order],
        _picture([(validation.faces[n], made[n][0], rows[n]["score"]) for n in order]),
    )


def _more_of(face: TestFace, drag: np.ndarray, landmarks: Landmarks) -> dict[str, float]:
    """Of one face what the table has and the score does not need."""
    change = means(colour_distance(to_lab(drag), to_lab(face.bare)), face.parts)
    # Both at the generator's size: what enlarging blurs moves the landmarks too.
    before, after = (landmarks.locate_aligned(resize(one, FACE, FACE))[0] for one in (face.bare, drag))
    shift = np.linalg.norm(after - before, axis=-1)[STEADY].mean() / interocular(before)
    found = {"left_lid": change[LEFT], "right_lid": change[RIGHT], "landmark_shift": 100 * shift}
    if face.truth is not None:
        error = means(colour_distance(to_lab(drag), to_lab(face.truth)), face.parts)
        found["psnr"] = psnr(drag, face.truth)
        found["ssim"] = structural_similarity(drag, face.truth, channel_axis=-1)
        found |= {"truth_lips": error[LIPS], "truth_lids": (error[LEFT] + error[RIGHT]) / 2}
        found |= {"truth_brows": error[BROWS], "truth_cheeks": error[CHEEKS]}
    return {name: float(value) for name, value in found.items()}


def _distances(
    network: Features, faces: str | Path, size: int, sets: dict[str, list[np.ndarray]]
) -> dict[str, dict[str, Interval]]:
    """KID of each set of pictures to the training faces of both domains; none for a set of one picture."""
    references = {}
    for domain in ("selfie", "drag"):
        images = FaceSet(faces, domain, "train", size).images
        if len(images) < 2:
            raise DragFaceError(
                f"{faces} has fewer than two faces in {domain}/train: crop photos of that domain first."
            )
        images = images[np.unique(np.linspace(0, len(images) - 1, REFERENCES).round().astype(int))]
        references[domain] = network.of(images.permute(0, 2, 3, 1).contiguous().numpy())
    selfies = references["selfie"]
    # Few faces may hardly differ in a feature: its spread counts as a third of the average one at least.
    least = np.sqrt(selfies.var(0).mean()) / 3
    centre, spread = (selfies.mean(0), np.hypot(selfies.std(0), least)) if network.by_spread else (0.0, 1.0)
    references = {domain: (found - centre) / spread for domain, found in references.items()}
    distances = {}
    for name, pictures in sets.items():
        if len(pictures) < 2:
            return {name: {} for name in sets}
        found = (network.of(pictures) - centre) / spread
        distances[name] = {f"kid_{domain}": kid(found, reference) for domain, reference in references.items()}
    return distances


def _picture(faces: list[tuple[TestFace, np.ndarray, float]]) -> np.ndarray:
    """Rows: input, ours, truth, difference; columns: the best, middling and worst faces. faces: worst first."""
    best = list(reversed(faces))
    start = max(0, (len(best) - SHOWN) // 2)
    chosen = {"best": best[:SHOWN], "middling": best[start : start + SHOWN], "worst": best[-SHOWN:]}
    rows: list[list[tuple[str, np.ndarray]]] = [[], [], [], []]
    for rank, members in chosen.items():
        for face, drag, score in members:
            goal = face.bare if face.truth is None else face.truth
            rows[0].append((f"{rank}: score {score:.2f}", face.bare))
            rows[1].append(("ours", drag))
            rows[2] += [] if face.truth is None else [("truth", face.truth)]
            rows[3].append((f"ours against {'the selfie' if face.truth is None else 'the truth'}", _heat(drag, goal)))
    cells = sum(rows, [])
    pictures, captions = [picture for _, picture in cells], [caption for caption, _ in cells]
    return contact_sheet(pictures, columns=len(rows[0]), cell=160, captions=captions)


def _heat(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Their CIELAB distance as a picture: black for none, white for 50 and more."""
    heat = colormaps["inferno"](colour_distance(to_lab(one), to_lab(other)) / 50)
    return (heat[..., :3] * 255).astype(np.uint8)


def _file(name: str, paired: bool) -> str:
    """Where the input lies below the folder of faces."""
    return f"pairs/selfie/{name}" if paired else f"selfie/test/{name}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
