"""How good is a generator? One number for the training loop, by which a run's best generator is kept.

validation = Validation("faces")
validation(generator)["score"]          1 for the truth, 0 for the selfie itself
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import torch

from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, Landmarks
from ..crop.masks import points_on_face
from ..crop.packing import read_faces
from ..errors import DragFaceError
from ..images import UnreadablePhoto, open_photo, resize
from ..model.generator import Generator
from ..model.tensors import to_bytes, to_unit
from .measures import (
    FACE,
    LEVELS,
    PARTS,
    WEIGHTS,
    Patches,
    colour_distance,
    distance,
    lips_and_lids,
    parts_of_face,
    psnr,
    to_lab,
)

FACES_AT_ONCE = 4  # of a batch, for a generator of 512 px on a small GPU
BARE = 6.0  # CIELAB units of change on a lid: below it the eye is left bare
NEAREST = 5  # faces of the drag domain to which a face is compared where its truth is not known
SHIFT = 5.0  # per cent of the eyes' distance that landmarks may move where no truth tells what is right
STEADY = sorted({0, 1}.union(*CONTOURS.values()))  # landmarks on the face; the rest guess at hair and shoulders
LEFT_EYE, RIGHT_EYE, LIPS, SKIN, OUTSIDE = range(len(PARTS))
MAKEUP = [LEFT_EYE, RIGHT_EYE, LIPS]


class TestFace:
    """A test face, and what its drag versions are compared with.

    bare, truth: (S, S, 3) uint8 RGB; truth is None where it is not known. points: landmarks of `bare`. parts: (5, S, S)
    bool, by PARTS. lids: (3, S, S), see `lips_and_lids`. origin: the CIELAB colour from which the colours of patches
    are counted, that of the skin where no truth is known.
    Set by Validation: goal, the patches of the truth, else of the bare face; missing, (levels, parts), how far the bare
    face is from what is right.
    """

    goal: np.ndarray
    missing: np.ndarray

    def __init__(self, name: str, bare: np.ndarray, truth: np.ndarray | None, landmarks: np.ndarray):
        """landmarks: in pixels of a crop of 256."""
        size, parts = len(bare), parts_of_face(landmarks)
        self.name, self.bare, self.truth, self.patches = name, bare, truth, Patches(parts, size)
        self.points = Landmarks.load().locate_aligned(bare)[0]
        self.parts = np.stack([resize(part.astype(np.float32), size, size) > 0.5 for part in parts])
        self.lids = lips_and_lids(landmarks, size)
        self.origin = to_lab(bare)[self.parts[SKIN]].mean(0) if truth is None else np.zeros(3, np.float32)

    def patches_of(self, picture: np.ndarray) -> np.ndarray:
        """The patches of a drag version, (S, S, 3) uint8 RGB; see `Patches`."""
        return self.patches(to_lab(picture) - self.origin)


class Validation:
    """Measures generators on faces that they were not trained on: the same faces, in the same way, every time.

    faces: folder or archive; its pairs of bare and painted faces (`practice`) are used where it has any, its
    selfie/test elsewhere. size: pixels a side at which faces are compared; to that the change that a smaller generator
    makes is enlarged, as the showcase does. limit: at most so many faces, spread over all; 40 take a second or two.
    `left_out` names those that cannot be read or show no landmarks. Raises DragFaceError when no face is left.

    The score of a face is the mean over three levels: line, shape and colour. Of each level, with distances of patches
    (see `Patches`) added up over eyes, lips, skin and, twice, what lies outside the face:

        1 - distance(output, truth) / distance(selfie, truth)

    so the truth scores 1, the selfie 0, and worse than leaving it alone is below 0. Where no truth is known, eyes and
    lips are compared with the nearest faces of the drag domain, colours counted from that of the skin; the outside
    must stay what it was; and landmarks that move by more than 5 % of the eyes' distance cost a score of 1 for each
    further 5 %. That tells make-up from none, and less of how well it is done.
    """

    def __init__(self, faces: str | Path, size: int = FACE, limit: int = 40):
        if not Path(faces).exists():
            raise DragFaceError(f"There are no faces at {faces}: crop photos first, or check the name.")
        self.size = size
        bare, truth = (dict(read_faces(faces, "pairs", domain)) for domain in ("selfie", "drag"))
        self.paired = bool(bare.keys() & truth.keys())
        if not self.paired:
            bare, truth = dict(read_faces(faces, "selfie", "test")), {}
        names = sorted(bare.keys() & truth.keys() if self.paired else bare)
        names = [names[n] for n in np.unique(np.linspace(0, len(names) - 1, limit).round().astype(int)) if names]
        opened = {name: self._opened(name, bare[name], truth.get(name)) for name in names}
        self.faces = [face for face in opened.values() if face is not None]
        self.left_out = [name for name, face in opened.items() if face is None]
        if not self.faces:
            raise DragFaceError(
                f"{faces} has no test face to measure on, in pairs or in selfie/test: make practice faces or crop more."
            )

        self.drag = np.empty(0) if self.paired else self._drag_domain(faces, limit)
        for face in self.faces:
            face.goal = face.patches_of(face.bare if face.truth is None else face.truth)
            face.missing = np.maximum(self._wrong(face, face.bare), 1e-6)  # the truth may be the selfie itself

    def __call__(self, generator: Generator) -> dict[str, float]:
        """Means over the faces of what `measure` gives. No random number is drawn."""
        rows = [self.measure(face, drag) for face, drag in zip(self.faces, self.translate(generator), strict=True)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def translate(self, generator: Generator) -> Iterator[np.ndarray]:
        """What the generator makes of each face: (S, S, 3) uint8 RGB."""
        device = next((parameter.device for parameter in generator.parameters()), torch.device("cpu"))
        for start in range(0, len(self.faces), FACES_AT_ONCE):
            bare = [face.bare for face in self.faces[start : start + FACES_AT_ONCE]]
            batch = np.stack([resize(face, generator.size, generator.size) for face in bare])
            with torch.no_grad():
                drag = to_bytes(generator(to_unit(torch.from_numpy(batch).permute(0, 3, 1, 2)).to(device)).image)
            for face, before, after in zip(bare, batch, drag, strict=True):
                if self.size == generator.size:
                    yield after
                else:
                    change = resize(after.astype(np.float32) - before, self.size, self.size)
                    yield cv2.add(face, change, dtype=cv2.CV_8U)

    def measure(self, face: TestFace, drag: np.ndarray) -> dict[str, float]:
        """The measures of one face. drag: (S, S, 3) uint8 RGB.

        score, line, shape, colour: see above. eyes, mouth: the score of these parts alone. makeup: CIELAB change on
        lips and lids together; lips, left_lid, right_lid: on each. bare_eyes: share of the eyes whose lid changes by
        less than 6. outside: PSNR outside the face in dB, of at most 60. landmark_shift: per cent of the eyes'
        distance.
        """
        whole = face.missing @ WEIGHTS
        wrong = self._wrong(face, drag)
        levels = 1 - wrong @ WEIGHTS / whole
        moved = np.linalg.norm(Landmarks.load().locate_aligned(drag)[0] - face.points, axis=-1)
        shift = 100 * moved[STEADY].mean() / interocular(face.points)
        change = colour_distance(to_lab(drag), to_lab(face.bare))
        lips, left, right = (np.average(change, weights=part) if part.any() else 0.0 for part in face.lids)
        row = {"score": levels.mean() - (0 if self.paired else max(0.0, shift / SHIFT - 1))}
        row |= dict(zip(LEVELS, levels, strict=True))
        for name, parts in (("eyes", [LEFT_EYE, RIGHT_EYE]), ("mouth", [LIPS])):
            row[name] = 1 - (wrong[:, parts].sum(1) / whole).sum() / (face.missing[:, parts].sum(1) / whole).sum()
        row |= {"makeup": (lips + (left + right) / 2) / 2, "lips": lips, "left_lid": left, "right_lid": right}
        row |= {
            "bare_eyes": np.mean([left < BARE, right < BARE]),
            "outside": psnr(face.bare, drag, face.parts[OUTSIDE]),
        }
        return {name: float(value) for name, value in (row | {"landmark_shift": shift}).items()}

    def _wrong(self, face: TestFace, picture: np.ndarray) -> np.ndarray:
        """How far a picture is from what is right, by level and part."""
        patches = face.patches_of(picture)
        wrong = distance(patches, face.goal)
        if not self.paired:
            wrong[:, SKIN] = 0  # drag covers the skin; nobody knows with what
            wrong[:, MAKEUP] = np.sort(distance(patches[:, MAKEUP], self.drag), axis=0)[:NEAREST].mean(0)
        return wrong

    def _drag_domain(self, faces: str | Path, limit: int) -> np.ndarray:
        """Patches of eyes and lips of drag faces: (N, levels, 3, …)."""
        contents = [islice(read_faces(faces, "drag", split), limit) for split in ("test", "train")]
        opened = [self._opened(name, content, None) for name, content in chain(*contents)]
        if not any(opened):
            raise DragFaceError(f"{faces} has no pairs and no drag faces to compare with: crop photos of that domain.")
        return np.stack([face.patches_of(face.bare)[:, MAKEUP] for face in opened if face])

    def _opened(self, name: str, content: bytes, painted: bytes | None) -> TestFace | None:
        """None for a file that cannot be read or a face on which no landmarks are found."""
        try:
            face = open_photo(content)
            truth = None if painted is None else resize(open_photo(painted), self.size, self.size)
        except UnreadablePhoto:
            return None
        points = points_on_face(resize(face, FACE, FACE))
        return None if points is None else TestFace(name, resize(face, self.size, self.size), truth, points)
