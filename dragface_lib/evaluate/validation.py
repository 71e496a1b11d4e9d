"""How good is a generator? One number for the training loop, by which a run's best generator is kept.

validation = Validation("faces")
validation(generator)["score"]          1 for the truth, 0 for the selfie itself
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import torch

from ..archives import read_faces
from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, Landmarks, points_on_face
from ..errors import DragFaceError
from ..files import kind_of
from ..images import UnreadablePhoto, open_photo, resize
from ..model.generator import Generator, to_bytes, to_unit
from .measures import FACE, LEVELS, PART_WEIGHTS, PARTS, lips_and_lids, parts_of_face, patch_centres, patches, to_lab

FACES_AT_ONCE = 4  # of a batch, for a generator of 512 px on a small GPU
BARE = 6.0  # CIELAB units of change on a lid: below it the eye is left bare
NEAREST = 5  # faces of the drag domain to which a face is compared where its truth is not known
SHIFT = 5.0  # per cent of the eyes' distance that landmarks may move where no truth tells what is right
CAP = 60.0  # dB: nobody sees a difference beyond, and that of an untouched picture would be infinite
STEADY = sorted({0, 1}.union(*CONTOURS.values()))  # landmarks on the face; the rest guess at hair and shoulders
LEFT_EYE, RIGHT_EYE, LIPS, SKIN, OUTSIDE = range(len(PARTS))
MAKEUP = [LEFT_EYE, RIGHT_EYE, LIPS]


class TestFace:
    """A test face, and what its drag versions are compared with.

    bare, truth: (256, 256, 3) uint8 RGB; truth is None where it is not known. points: (189, 2) landmarks of `bare`.
    parts, lids: see `parts_of_face` and `lips_and_lids`. origin: the CIELAB colour from which those of patches are
    counted, that of the skin where no truth is known. goal: the patches of the truth, else of the bare face.
    missing, set by Validation: (levels, parts), how far the bare face is from what is right.
    """

    missing: np.ndarray

    def __init__(self, name: str, bare: np.ndarray, truth: np.ndarray | None, points: np.ndarray):
        self.name, self.bare, self.truth, self.points = name, bare, truth, points
        self.parts, self.lids = parts_of_face(points), lips_and_lids(points)
        self.centres = patch_centres(self.parts)
        self.origin = to_lab(bare)[self.parts[SKIN]].mean(0) if truth is None else np.zeros(3, np.float32)
        self.goal = self.patches_of(bare if truth is None else truth)

    def patches_of(self, picture: np.ndarray) -> np.ndarray:
        """The patches of a drag version, (256, 256, 3) uint8 RGB; see `patches`."""
        return patches(to_lab(picture) - self.origin, self.centres)


class Validation:
    """Measures generators on faces that they were not trained on: the same faces, in the same way, every time.

    faces: folder or archive; its pairs of bare and painted faces (`practice`) are used where it has any, its
    selfie/test elsewhere. limit: at most so many faces, spread over all; 40 take a second or two.
    `left_out` names those that cannot be read or show no landmarks. Raises DragFaceError when no face is left.
    Faces are compared at 256 px; the change that another generator makes is enlarged, as the showcase does.

    The score of a face is the mean over three levels: line, shape and colour. Of each level, with distances of patches
    (see `patches`) added up over eyes, lips, skin and, twice, what lies outside the face:

        1 - distance(output, truth) / distance(selfie, truth)

    so the truth scores 1, the selfie 0, and worse than leaving it alone is below 0. Where no truth is known, eyes and
    lips are compared with the nearest faces of the drag domain, colours counted from that of the skin; the outside
    must stay what it was; and landmarks that move by more than 5 % of the eyes' distance cost a score of 1 for each
    further 5 %. That tells make-up from none, and less of how well it is done.
    """

    def __init__(self, faces: str | Path, limit: int = 40):
        if not kind_of(faces):
            raise DragFaceError(f"There are no faces at {faces}: crop photos first, or check the name.")
        bare, truth = (dict(read_faces(faces, "pairs", domain)) for domain in ("selfie", "drag"))
        names = sorted(bare.keys() & truth.keys())
        self.paired = bool(names)
        if not self.paired:
            bare, truth = dict(read_faces(faces, "selfie", "test")), {}
            names = sorted(bare)
        names = [names[n] for n in np.unique(np.linspace(0, len(names) - 1, limit).round().astype(int)) if names]
        opened = {name: _open_face(name, bare[name], truth.get(name)) for name in names}
        self.faces = [face for face in opened.values() if face is not None]
        self.left_out = [name for name, face in opened.items() if face is None]
        if not self.faces:
            advice = "make practice faces, or crop more photos"
            if names:
                advice = f"no face is seen in its place on {names[0]} and the others, so crop the photos they are from"
            raise DragFaceError(f"{faces} has no test face to measure on, in pairs or in selfie/test: {advice}.")
        self.drag = np.empty(0) if self.paired else _drag_domain(faces, limit)
        for face in self.faces:
            face.missing = np.maximum(self._wrong(face, face.bare), 1e-6)  # the truth may be the selfie itself

    def __call__(self, generator: Generator) -> dict[str, float]:
        """Means over the faces of what `measure` gives. No random number is drawn."""
        return means(self.measure_all(self.translate(generator)))

    def measure_all(self, drags: Iterable[np.ndarray]) -> list[dict[str, float]]:
        """The measures of each face; drags: one drag version of each."""
        return [self.measure(face, drag) for face, drag in zip(self.faces, drags, strict=True)]

    def translate(self, generator: Generator) -> Iterator[np.ndarray]:
        """What the generator makes of each face: (256, 256, 3) uint8 RGB."""
        device = next((parameter.device for parameter in generator.parameters()), torch.device("cpu"))
        for start in range(0, len(self.faces), FACES_AT_ONCE):
            bare = [face.bare for face in self.faces[start : start + FACES_AT_ONCE]]
            batch = np.stack([resize(face, generator.size, generator.size) for face in bare])
            with torch.no_grad():
                drag = to_bytes(generator(to_unit(torch.from_numpy(batch).permute(0, 3, 1, 2)).to(device)).image)
            for face, before, after in zip(bare, batch, drag, strict=True):
                yield cv2.add(face, resize(after.astype(np.float32) - before, FACE, FACE), dtype=cv2.CV_8U)

    def measure(self, face: TestFace, drag: np.ndarray) -> dict[str, float]:
        """The measures of one face. drag: (256, 256, 3) uint8 RGB.

        score, line, shape, colour: see above. eyes, mouth: the score of these parts alone. makeup: CIELAB change, the
        mean of lips and lids. bare_eyes: share of the eyes whose lid changes by less than 6. outside: PSNR outside the
        face in dB, of at most 60. landmark_shift: per cent of the eyes' distance.
        """
        whole = face.missing @ PART_WEIGHTS
        wrong = self._wrong(face, drag)
        levels = 1 - wrong @ PART_WEIGHTS / whole
        moved = np.linalg.norm(Landmarks.load().locate_aligned(drag)[0] - face.points, axis=-1)
        shift = 100 * moved[STEADY].mean() / interocular(face.points)
        row = {"score": levels.mean() - (0 if self.paired else max(0.0, shift / SHIFT - 1))}
        row |= dict(zip(LEVELS, levels, strict=True))
        for name, parts in (("eyes", [LEFT_EYE, RIGHT_EYE]), ("mouth", [LIPS])):
            row[name] = 1 - (wrong[:, parts].sum(1) / whole).sum() / (face.missing[:, parts].sum(1) / whole).sum()
        change = np.linalg.norm(to_lab(drag) - to_lab(face.bare), axis=-1)
        lips, left, right = (np.average(change, weights=part) if part.any() else 0.0 for part in face.lids)
        outside = face.parts[OUTSIDE]
        row |= {"makeup": (lips + (left + right) / 2) / 2, "bare_eyes": np.mean([left < BARE, right < BARE])}
        row |= {"outside": min(CAP, cv2.PSNR(face.bare[outside], drag[outside])), "landmark_shift": shift}
        return {name: float(value) for name, value in row.items()}

    def _wrong(self, face: TestFace, picture: np.ndarray) -> np.ndarray:
        """How far the patches of a picture are from what is right: (levels, parts)."""
        quantiles = face.patches_of(picture)
        wrong = np.abs(quantiles - face.goal).mean((-2, -1))
        if not self.paired:
            wrong[:, SKIN] = 0  # drag covers the skin; nobody knows with what
            distances = np.abs(quantiles[:, MAKEUP] - self.drag).mean((-2, -1))
            wrong[:, MAKEUP] = np.sort(distances, axis=0)[:NEAREST].mean(0)
        return wrong


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each measure over faces."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _drag_domain(faces: str | Path, limit: int) -> np.ndarray:
    """Patches of eyes and lips of drag faces: (N, levels, 3, …)."""
    contents = chain(*(islice(read_faces(faces, "drag", split), limit) for split in ("test", "train")))
    opened = [face for name, content in contents if (face := _open_face(name, content, None))]
    if not opened:
        raise DragFaceError(f"{faces} has no pairs and no drag faces to compare with: crop photos of that domain.")
    return np.stack([face.goal[:, MAKEUP] for face in opened])


def _open_face(name: str, content: bytes, painted: bytes | None) -> TestFace | None:
    """None for a file that cannot be read or a face on which no landmarks are found."""
    try:
        bare = resize(open_photo(content), FACE, FACE)
        truth = None if painted is None else resize(open_photo(painted), FACE, FACE)
    except UnreadablePhoto:
        return None
    points = points_on_face(bare)
    return None if points is None else TestFace(name, bare, truth, points)
