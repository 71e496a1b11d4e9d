"""A folder of faces as cropping leaves it: two people in many colours, every third one rejected."""

from __future__ import annotations

from pathlib import Path

import matplotlib.cbook
import numpy as np
from PIL import Image
from skimage import data

from dragface_lib.crop.table import CropRow, write_crops
from dragface_lib.images import open_photo, save_photo

REASONS = ("blurred: sharpness 0.20, 0.30 is needed", "turned to the side by 34 degrees", "greyscale")


def faces_to_curate(faces: Path, count: int) -> list[CropRow]:
    """Write `count` faces, selfie and drag in turn, and their crops.csv; returns the rows."""
    hopper = open_photo(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    people = {"selfie": data.astronaut()[0:256, 96:352], "drag": np.array(Image.fromarray(hopper).resize((256, 256)))}
    rows = []
    for number in range(count):
        domain = ("selfie", "drag")[number % 2]
        split = "test" if number % 10 == 4 else "train"
        rejected = number % 3 == 0
        name = f"face_{number:03}.jpg"
        file = f"rejected/{domain}/{name}" if rejected else f"{domain}/{split}/{name}"
        tint = 0.6 + 0.4 * np.random.default_rng(number).random(3)
        save_photo(faces / file, (people[domain] * tint).astype(np.uint8))
        reason = REASONS[number // 3 % 3] if rejected else ""
        status = "rejected" if rejected else "kept"
        numbers = {"sharpness": 0.2 + 0.01 * (number % 7) if rejected else 0.5 + 0.01 * (number % 11)}
        rows.append(CropRow(name, domain, split, name, status, reason, face=file, numbers=numbers))
    write_crops(faces, rows)
    return rows
