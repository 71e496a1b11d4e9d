"""How often each gate is right: photos made worse by known amounts, photos labelled by eye, pairs with and without
glasses; and what both detectors find.

PYTHONPATH=. python tests/benchmarks/gates.py PHOTOS        PHOTOS holds detector/, portraits/ and london_neutral/

Prints two tables in Markdown. "Bad" are faces that the gate should reject, "good" those that it should keep.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dragface_lib.crop.align import aligned_face, crop_face, interocular, similarity
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.find import Face, find_faces
from dragface_lib.crop.measure import measure
from dragface_lib.crop.quality import GATES
from dragface_lib.images import open_photo

LABELS = Path(__file__).parents[1] / "crop" / "portrait_labels.csv"
EVERY = 4  # of the photos that are made worse

Photo = tuple[np.ndarray, Face, list[Face]]


def main(folder: Path) -> None:
    detection(folder)
    with open(LABELS, newline="") as file:
        labels = {row["photo"]: row for row in csv.DictReader(file)}
    portraits = {name: first_face(folder / "portraits" / name) for name in labels}
    london = [first_face(path) for path in sorted((folder / "london_neutral").glob("*.jpg"))]
    plain = [*list(portraits.values())[::EVERY], *london[::EVERY]]
    good = [numbers_of(photo) for photo in plain]
    heads("gate", "threshold", "bad are", "bad rejected", "good are", "good kept", "right", "")

    def worse(gate: str, how: str, change: Callable[[np.ndarray, float], np.ndarray], points=lambda p, eyes: p) -> None:
        bad = []
        for photo, face, _ in plain:
            eyes = float(np.linalg.norm(face.points[1] - face.points[0]))
            box = face.box._replace(points=points(face.box.points, eyes))
            moved = face._replace(points=points(face.points, eyes), box=box)
            bad.append(numbers_of((change(photo, eyes), moved, [])))
        report(gate, how, bad, "the same as they are", good)

    worse(
        "eyes",
        "shrunk to 24 px between the eyes",
        lambda p, e: scaled(p, 24 / e),
        lambda q, e: (q + 0.5) * 24 / e - 0.5,
    )
    worse("resolution", "shrunk to 16 px between the eyes, enlarged again", lambda p, e: coarse(p, 16 / e))
    worse("sharpness", "blurred by 3 % of the eyes' distance", lambda p, e: cv2.GaussianBlur(p, (0, 0), 0.03 * e))
    worse("brightness", "darkened by 3 stops", lambda p, e: exposed(p, -3))
    worse("brightness", "darkened by 4 stops", lambda p, e: exposed(p, -4))
    worse("blown", "brightened by 3 stops", lambda p, e: exposed(p, 3))
    worse("contrast", "contrast to a quarter", lambda p, e: (p * 0.25 + 90).astype(np.uint8))
    worse("colour", "grey", lambda p, e: cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    worse(
        "colour",
        "sepia",
        lambda p, e: (p.mean(2, keepdims=True) * [1, 0.85, 0.65]).astype(np.uint8),
    )
    soft = [numbers_of((exposed(p, -1), f, [])) for p, f, _ in plain]
    report("brightness", "-", [], "darkened by 1 stop", soft)
    softer = [numbers_of(((p * 0.5 + 50).astype(np.uint8), f, [])) for p, f, _ in plain]
    report("sharpness", "-", [], "in soft light: half the contrast", softer)
    masked = [
        numbers_of((mask_over(p, f, shade), f, [])) for p, f, _ in plain for shade in ((235, 240, 245), (110, 160, 205))
    ]
    report("covered", "a white or blue mask drawn over nose and mouth", masked, "the same as they are", good)

    measured = {name: numbers_of(photo) for name, photo in portraits.items()}

    def labelled(gate: str, column: str, bad: set[str], says: str, others: str) -> None:
        wrong = [measured[name] for name, row in labels.items() if row[column] in bad]
        report(gate, says, wrong, others, [measured[name] for name, row in labels.items() if row[column] not in bad])

    labelled("yaw", "turned", {"far"}, "portraits turned far, by eye", "the other portraits, slightly turned ones too")
    labelled("covered", "hand", {"at the face"}, "portraits with a hand at the face, by eye", "the other portraits")
    labelled("glasses", "glasses", {"yes"}, "portraits with glasses, by eye", "the other portraits")
    test = {name for name in labels if int(Path(name).stem) % 5 == 0}
    untaught = [measured[name] for name in labels if labels[name]["glasses"] == "no" and name in test]
    people = [numbers_of(first_face(path)) for path in sorted((folder / "detector").glob("glasses_*"))]
    bare = [numbers_of(first_face(path)) for path in sorted((folder / "detector").glob("bare_*"))]
    report("glasses", "pairs: with", people, "pairs: without", bare)
    turned = {}
    for degrees in (-40, 15):
        seen = [
            (head, find_faces(head)) for head in (turned_head(photo, face.points, degrees) for photo, face, _ in london)
        ]
        turned[degrees] = [numbers_of((head, found[0], [])) if found else NOT_FOUND for head, found in seen]
    missed = turned[-40].count(NOT_FOUND)
    says = f"London heads turned by 40 degrees ({missed} of them give no face at all)"
    report("yaw", says, turned[-40], "turned by 15 degrees", turned[15])
    report("glasses", "-", [], "bare portraits of people it was not taught on", untaught)


NOT_FOUND = {"yaw": float("inf")}  # nor is it kept


def turned_head(photo: np.ndarray, points: np.ndarray, degrees: float) -> np.ndarray:
    """A frontal face as if its head were turned to the right of the picture: (512, 512, 3) uint8 RGB.

    Each pixel gets the depth of an ellipsoid with a nose, is turned with it, and hides what then lies behind it.
    """
    size, apart = 512, 72.0
    eyes = np.array([[-apart / 2, 0], [apart / 2, 0]]) + [256, 260]
    matrix = similarity(points, 1, eyes + 0.5)
    front = cv2.warpAffine(photo, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    fine = cv2.resize(front, (4 * size, size))  # no holes where the turned surface is wider
    y, x = np.mgrid[0:size, 0 : 4 * size]
    x, y = (x / 4 - 256) / apart, (y - 260) / apart
    ball = 1 - (x / 1.25) ** 2 - ((y - 0.25) / 1.75) ** 2
    ridge = np.exp(-((x / (0.1 + 0.1 * y.clip(0, 1))) ** 2)) * np.exp(-((np.maximum(0, y - 0.62) / 0.1) ** 2))
    z = 1.5 * np.sqrt(ball.clip(0)) + 0.32 * (y / 0.62).clip(0, 1) * ridge
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    column = ((x * cosine + z * sine) * apart + 256).round().astype(int)
    shown = np.flatnonzero((ball > 0) & (column >= 0) & (column < size))
    shown = shown[np.argsort((z * cosine - x * sine).ravel()[shown])]  # the nearest last
    picture = cv2.GaussianBlur(front, (0, 0), 15)
    picture[shown // (4 * size), column.ravel()[shown]] = fine.reshape(-1, 3)[shown]
    return picture


def report(name: str, bad_are: str, bad: list[dict], good_are: str, good: list[dict]) -> None:
    (gate,) = (gate for gate in GATES if gate.name == name)
    rejected = sum(not gate.passes(numbers[name], gate.limit) for numbers in bad)
    kept = sum(gate.passes(numbers[name], gate.limit) for numbers in good)
    sign = {"at least": "≥", "at most": "≤"}[gate.sign]
    shares = [right / len(faces) for right, faces in ((rejected, bad), (kept, good)) if faces]
    print(
        f"| {name} | {sign} {gate.limit:g} | {bad_are} | {rejected} of {len(bad)} | {good_are} | "
        f"{kept} of {len(good)} | {np.mean(shares):.0%} | {'' if gate.rejects else 'only ranks'} |",
        flush=True,
    )


def heads(*names: str) -> None:
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")


def first_face(path: Path) -> Photo:
    photo = open_photo(path)
    face, *others = find_faces(photo)
    return photo, face, others


def numbers_of(seen: Photo) -> dict[str, float]:
    photo, face, others = seen
    return measure(photo, face, aligned_face(photo, face.points), others)


def scaled(photo: np.ndarray, scale: float) -> np.ndarray:
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def coarse(photo: np.ndarray, scale: float) -> np.ndarray:
    return cv2.resize(scaled(photo, scale), photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def exposed(photo: np.ndarray, stops: float) -> np.ndarray:
    """As a camera would have exposed it, with a gamma of 2.2."""
    return (photo * 2.0 ** (stops / 2.2)).clip(0, 255).astype(np.uint8)


def mask_over(photo: np.ndarray, face: Face, colour: tuple[int, int, int]) -> np.ndarray:
    """The part of the face below the bridge of the nose in one colour, with the shading that was there."""
    low = face.points[[111, *range(125, 134), 114, 55]]
    shape = cv2.fillConvexPoly(np.zeros(photo.shape[:2], np.uint8), cv2.convexHull(low.round().astype(np.int32)), 1)
    shade = (cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None] / 160.0).clip(0.6, 1.1)
    return np.where(shape[..., None] > 0, (np.array(colour) * shade).clip(0, 255), photo).astype(np.uint8)


def detection(folder: Path) -> None:
    """Faces whose landmarks surround an annotated nose, and faces where there is none."""
    truth = json.loads((folder / "detector" / "truth.json").read_text())
    truth = {file: what for file, what in truth.items() if file.startswith(("people", "noface"))}
    heads(
        "detector",
        "of the annotated faces",
        "elsewhere in those photos",
        "in photos without a face",
        "portraits with one face",
        "the same on either side, with it",
        "the same as close-ups",
        "every 8th as a face of 80 pixels in 12 megapixels",
    )
    scenes = [open_photo(folder / "detector" / file) for file in truth if file.startswith("noface")]
    for name, step in (("yunet", 1), ("haar", 8)):
        detector, hits, extra, false, total = open_detector(name), 0, 0, 0, 0
        for file, what in truth.items():
            faces = find_faces(open_photo(folder / "detector" / file), detector)
            noses = np.array(what["noses"], float).reshape(-1, 2)
            centres = np.array([face.points.mean(0) for face in faces]).reshape(-1, 2)
            sizes = np.array([interocular(face.points) for face in faces])
            near = np.linalg.norm(noses[:, None] - centres[None], axis=-1) < sizes[None]
            hits, total = hits + int(near.any(axis=1).sum()), total + len(noses)
            stray = int((~near.any(axis=0)).sum()) if len(noses) else len(faces)
            extra, false = (extra + stray, false) if len(noses) else (extra, false + stray)
        portraits = sorted((folder / "portraits").rglob("*.jpg"))[::step]
        seen = turned = close = far = 0
        for number, photo in enumerate(map(open_photo, portraits)):
            faces = find_faces(photo, detector)
            seen += len(faces) == 1
            for side in (-1, 1):
                lying = find_faces(np.ascontiguousarray(np.rot90(photo, side)), detector)
                turned += len(lying) == 1 and lying[0].upright and lying[0].quarters == -side % 4
            close += len(find_faces(close_up(photo, faces[0].points), detector)) == 1
            if number * step % 8 == 0:
                scene = cv2.resize(scenes[number % len(scenes)], (4000, 3000), interpolation=cv2.INTER_CUBIC)
                small = scaled(photo, 80 / (2.2 * interocular(faces[0].points)))  # a box is 2.2 such distances wide
                scene[1000 : 1000 + small.shape[0], 2500 : 2500 + small.shape[1]] = small
                far += len(find_faces(scene, detector)) == 1
        every = "" if step == 1 else f" (every {step}th)"
        print(
            f"| {name} | {hits} of {total} | {extra} | {false} | {seen} of {len(portraits)}{every} | "
            f"{turned} of {2 * len(portraits)} | {close} of {len(portraits)} | {far} of {len(portraits) * step // 8} |",
            flush=True,
        )
    print()


def close_up(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face alone, (1024, 1024, 3): as wide as 2.4 times the distance of the eyes."""
    apart = interocular(points)
    eyes = points[:2].mean(0) + [[-apart / 2, 0], [apart / 2, 0]]
    target = np.array([[-1 / 4.8, 0], [1 / 4.8, 0]]) * 1024 + [512, 430]
    return crop_face(photo, similarity(eyes, 1, target + 0.5), 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
