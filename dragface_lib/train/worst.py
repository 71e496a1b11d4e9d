"""Back to the data: which test faces a run translates worst, and what they look like.

worst_faces(config, "evaluation")      evaluation/faces.csv is what going through the faces by hand can begin with
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..devices import choose_device
from ..images import contact_sheet
from ..model.tensors import to_bytes, to_unit
from ..model.weights import load_generator
from .config import TrainConfig
from .data import FaceSet
from .report import evaluate

SHOWN = 8


def worst_faces(config: TrainConfig, out: str | Path) -> np.ndarray:
    """Evaluate a run's best generator (its newest, where none was measured) and write the report into the folder `out`.

    Returns a contact sheet, (H, W, 3) uint8 RGB, of the faces with the lowest scores, worst first, selfies above what
    was made of them. Raises DragFaceError where there is no generator yet or there are too few faces to measure on.
    """
    best, newest = (config.run_folder / f"{name}.safetensors" for name in ("best", "generator"))
    device = choose_device(config.device)
    generator = load_generator(best if best.exists() else newest, device=device)
    report = evaluate(generator, config.faces)
    report.save(out)
    rows = report.rows[:SHOWN]
    domain, split = Path(rows[0]["face"]).parts[:2]
    faces = FaceSet(config.faces, domain, split, generator.size)
    selfies = [faces.images[faces.names.index(Path(row["face"]).name)][None] for row in rows]
    with torch.no_grad():
        drag = [to_bytes(generator(to_unit(selfie).to(device)).image)[0] for selfie in selfies]
    pictures = [selfie[0].permute(1, 2, 0).numpy() for selfie in selfies] + drag
    captions = [Path(row["face"]).stem for row in rows] + [f"score {row['score']:.2f}" for row in rows]
    return contact_sheet(pictures, columns=len(rows), cell=160, captions=captions)
