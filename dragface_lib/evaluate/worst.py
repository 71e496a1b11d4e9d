"""Back to the data: which test faces a run translates worst, and what they look like.

worst_faces(generator, "faces", "evaluation")      going through the faces by hand can begin with evaluation/faces.csv
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..images import contact_sheet
from ..model.generator import Generator
from ..model.tensors import to_bytes, to_unit
from ..train.data import FaceSet
from .report import evaluate

SHOWN = 8


def worst_faces(generator: Generator, faces: str | Path, out: str | Path) -> np.ndarray:
    """Evaluate a generator on a folder or archive of faces and write the report into the folder `out`.

    Returns a contact sheet, (H, W, 3) uint8 RGB, of the faces with the lowest scores, worst first, selfies above what
    was made of them. Raises DragFaceError where there are too few faces to measure on.
    """
    report = evaluate(generator, faces)
    report.save(out)
    rows = report.rows[:SHOWN]
    domain, split = Path(rows[0]["face"]).parts[:2]
    known = FaceSet(faces, domain, split, generator.size)
    selfies = [known.images[known.names.index(Path(row["face"]).name)][None] for row in rows]
    device = next(generator.parameters()).device
    with torch.no_grad():
        drag = [to_bytes(generator(to_unit(selfie).to(device)).image)[0] for selfie in selfies]
    pictures = [selfie[0].permute(1, 2, 0).numpy() for selfie in selfies] + drag
    captions = [Path(row["face"]).stem for row in rows] + [f"score {row['score']:.2f}" for row in rows]
    return contact_sheet(pictures, columns=len(rows), cell=160, captions=captions)
