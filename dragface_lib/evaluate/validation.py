"""How good is a generator? One number for the training loop; a table and a picture for everyone.

validation = Validation("faces", size=128)
validation(generator)["score"]          1 for the truth, 0 for the selfie itself
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF

from ..crop.masks import points_on_face
from ..errors import DragFaceError
from ..model.tensors import to_bytes, to_unit
from ..train.data import FaceSet
from .measures import FACE, PARTS, colour_distance, means, parts_of_face, psnr, to_lab

FACES_AT_ONCE = 4  # of a batch, for a generator of 512 px on a small GPU
BARE = 6.0  # CIELAB units of change on a lid: below it the eye is left bare
NEAREST = 5  # faces of the drag domain to whose make-up a face is compared where the truth is not known
LEAST = 5.0  # CIELAB units that drag is taken to differ from a selfie at least
LIPS, LEFT, RIGHT, BROWS, CHEEKS, SKIN, OUTSIDE = range(len(PARTS))


@dataclass(frozen=True)
class TestFace:
    """A test face at the generator's size.

    bare: (S, S, 3) uint8 RGB; truth: the same face in drag, where that is known. points: (189, 2) landmarks of the bare
    face in pixels of a crop of 256. parts: (7, S, S) uint8, see `parts_of_face`.
    """

    name: str
    bare: np.ndarray
    truth: np.ndarray | None
    points: np.ndarray
    parts: np.ndarray


class Validation:
    """Measures generators on faces that they were not trained on: the same faces, in the same way, every time.

    faces: folder or archive; its pairs of bare and painted faces (`practice`) are used where it has any, its
    selfie/test elsewhere. size: pixels a side at which is compared, the generator's. limit: at most so many faces,
    spread over all. The landmarks are found here, once; `left_out` names the faces on which none were found. Raises
    DragFaceError when no face is left.

    The score, per face, in CIELAB distances (a mean over the pixels of each part, and then over the parts):

        score = 1 - (wrong + spilt) / missing
        missing   of the selfie from the truth, over lips, lids, brows, cheeks and the rest of the face
        wrong     of the output from the truth, over the same
        spilt     of the output from the selfie, outside the face

    so the truth scores 1, the selfie itself 0, and worse than leaving it alone is below 0. Where no truth is known,
    `missing` and `wrong` are distances to real drag: of the mean colours of lips and lids, against the skin of the same
    face, to the nearest five faces of the drag domain. That tells make-up from none, and less of how well it is done.
    """

    def __init__(self, faces: str | Path, size: int, limit: int = 40):
        if not Path(faces).exists():
            raise DragFaceError(f"There are no faces at {faces}: crop photos first, or check the name.")
        bare, truth = (FaceSet(faces, "pairs", domain, FACE) for domain in ("selfie", "drag"))
        self.paired = bool(set(bare.names) & set(truth.names))
        if not self.paired:
            bare = FaceSet(faces, "selfie", "test", FACE)
        painted = dict(zip(truth.names, truth.images, strict=True)) if self.paired else {}
        chosen = [n for n, name in enumerate(bare.names) if name in painted or not self.paired]
        chosen = (
            [chosen[n] for n in np.unique(np.linspace(0, len(chosen) - 1, limit).round().astype(int))] if chosen else []
        )
        self.size, self.faces, self.left_out = size, [], []
        for n in chosen:
            name = bare.names[n]
            points = points_on_face(_picture(bare.images[n], FACE))
            if points is None:
                self.left_out.append(name)
                continue
            face, known = _picture(bare.images[n], size), painted.get(name)
            known = None if known is None else _picture(known, size)
            self.faces.append(TestFace(name, face, known, points, parts_of_face(points, size)))
        if not self.faces:
            raise DragFaceError(
                f"{faces} has no test face to measure on, in pairs or in selfie/test: make practice faces or crop more."
            )
        self.real = None if self.paired else self._real_makeup(faces, limit)

    def __call__(self, generator: nn.Module) -> dict[str, float]:
        """Means over the faces. The generator's mode is put back, and no random number is drawn.

        score: see above. makeup, lips, lids: CIELAB change on lips and lids together, and on each. bare_eyes: share of
        the eyes whose lid changes by less than 6 units. background_db: PSNR outside the face, of at most 60 dB.
        truth_error: CIELAB distance to the truth (`wrong` above), where it is known.
        """
        made = self.translate(generator)
        rows = [self.measure(face, drag) for face, (drag, _) in zip(self.faces, made, strict=True)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def translate(self, generator: nn.Module) -> Iterator[tuple[np.ndarray, float]]:
        """What the generator makes of each face, (S, S, 3) uint8 RGB, and its CAM logit of the maximum pooling."""
        device = next((parameter.device for parameter in generator.parameters()), torch.device("cpu"))
        for start in range(0, len(self.faces), FACES_AT_ONCE):
            batch = np.stack([face.bare for face in self.faces[start : start + FACES_AT_ONCE]])
            with evaluating(generator), torch.no_grad():
                drag = generator(to_unit(torch.from_numpy(batch).permute(0, 3, 1, 2)).to(device))
            yield from zip(to_bytes(drag.image), drag.cam_logits[:, 1].tolist(), strict=True)

    def measure(self, face: TestFace, drag: np.ndarray) -> dict[str, float]:
        """The measures of one face, of which `__call__` gives the means. drag: (S, S, 3) uint8 RGB."""
        bare, made = to_lab(face.bare), to_lab(drag)
        change = means(colour_distance(made, bare), face.parts)
        lids = (change[LEFT] + change[RIGHT]) / 2
        row = {
            "makeup": (change[LIPS] + lids) / 2,
            "lips": change[LIPS],
            "lids": lids,
            "bare_eyes": (change[[LEFT, RIGHT]] < BARE).mean(),
            "background_db": psnr(face.bare, drag, face.parts[OUTSIDE]),
        }
        if face.truth is not None:
            truth = to_lab(face.truth)
            missing, row["truth_error"] = (
                _in_face(means(colour_distance(one, truth), face.parts)) for one in (bare, made)
            )
            wrong = row["truth_error"]
        else:
            missing, wrong = (self._from_real(means(one, face.parts)) for one in (bare, made))
        score = 1 - (wrong + change[OUTSIDE]) / max(missing, LEAST)
        return {"score": float(score)} | {name: float(value) for name, value in row.items()}

    def _from_real(self, colours: np.ndarray) -> float:
        """CIELAB distance of a face's make-up to that of real drag. colours: (7, 3), the mean of each part."""
        distances = np.linalg.norm(self.real - _against_skin(colours), axis=-1).mean(-1)
        return float(np.sort(distances)[:NEAREST].mean())

    @staticmethod
    def _real_makeup(faces: str | Path, limit: int) -> np.ndarray:
        """(N, 3, 3): CIELAB of lips and lids against the skin, of faces of the drag domain."""
        found = []
        for split in ("test", "train"):
            drag = FaceSet(faces, "drag", split, FACE)
            for image in drag.images[:limit]:
                face = _picture(image, FACE)
                points = points_on_face(face)
                if points is not None:
                    found.append(_against_skin(means(to_lab(face), parts_of_face(points, FACE))))
        if not found:
            raise DragFaceError(
                f"{faces} has no pairs and no drag faces to compare with: crop photos of the drag domain."
            )
        return np.stack(found)


def _in_face(values: np.ndarray) -> float:
    """Mean over lips, lids, brows, cheeks and the rest of the face, of values (7,) by part."""
    return float(
        np.mean([values[LIPS], (values[LEFT] + values[RIGHT]) / 2, values[BROWS], values[CHEEKS], values[SKIN]])
    )


def _against_skin(colours: np.ndarray) -> np.ndarray:
    return colours[[LIPS, LEFT, RIGHT]] - colours[SKIN]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards each of its modules is again in the mode it was in."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _picture(image: Tensor, size: int) -> np.ndarray:
    """(3, H, W) uint8 to (size, size, 3) uint8."""
    return TF.resize(image, [size, size], antialias=True).permute(1, 2, 0).contiguous().numpy()
