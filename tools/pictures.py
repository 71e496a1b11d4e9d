"""Draw the pictures of the README into docs/.

    PYTHONPATH=. python tools/pictures.py crop                          # crop.jpg
    PYTHONPATH=. python tools/pictures.py how                           # how_it_works.png
    PYTHONPATH=. python tools/pictures.py looks PHOTOS                  # practice_looks.jpg
    PYTHONPATH=. python tools/pictures.py starters PRACTICE_FACES       # before_after, seam, starter_faces, chosen
    PYTHONPATH=. python tools/pictures.py training RUN PRACTICE_FACES   # losses.png, progression.jpg

PHOTOS holds the manifest's photos, as `scrape` stores them. All other portraits are in the public domain.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from skimage import data

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face, apply, similarity
from dragface_lib.crop.find import Face
from dragface_lib.crop.landmarks import CONTOURS, face_mask
from dragface_lib.images import contact_sheet, open_photo, save_photo
from dragface_lib.model import load_generator, starter_looks, starter_path
from dragface_lib.model.generator import to_bytes, to_unit
from dragface_lib.practice import LOOKS, paint
from dragface_lib.showcase.transform import make_drag, transform
from dragface_lib.train.data import FaceSet
from dragface_lib.train.pictures import ROWS, sample_places, samples
from dragface_lib.train.progress import plot_losses, read_journal

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE, LINE = 480, (236, 64, 160)
INK, PAPER = "#2b2330", "white"
GENERATOR, STATISTICS, DISCRIMINATOR, LOSS = "#e8d5f5", "#fde2c8", "#d5e8f5", "#b3315f"
SITTERS = ("female/36", "female/60", "male/13", "male/53", "female/69", "male/59", "female/12")
CHOSEN = (0, 8, 33, 18, 12, 26, 9, 36)  # of the test portraits, for the first picture


def portraits() -> list[np.ndarray]:
    """Two portraits in the public domain."""
    hopper = open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))
    return [np.ascontiguousarray(data.astronaut()), hopper]


def draw_crop() -> None:
    """Landmarks and frame, the aligned face, and the face alone."""
    cells = []
    for photo in portraits():
        located = find_faces(photo)[0]
        face = aligned_face(photo, located.points, SIDE)
        on_grey = face_mask(apply(similarity(located.points, SIDE), located.points), SIDE)[..., None]
        cells += [marked(photo, located), face, np.uint8(face * on_grey + 128 * (1 - on_grey))]
    captions = ["landmarks, and what is cut out", "aligned", "what discriminators see"] * 2
    save_photo(DOCS / "crop.jpg", contact_sheet(cells, columns=3, cell=320, captions=captions), quality=88)


def marked(photo: np.ndarray, face: Face) -> np.ndarray:
    """The photo with the face's landmarks and the frame of its crop."""
    picture, width = photo.copy(), max(2, round(photo.shape[1] / 250))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * SIDE - 0.5
    frame = apply(cv2.invertAffineTransform(similarity(face.points, SIDE)), corners)
    cv2.polylines(picture, [frame.round().astype(np.int32)], True, (255, 255, 255), width, cv2.LINE_AA)
    for name, contour in CONTOURS.items():
        line = face.points[list(contour)].round().astype(np.int32)
        cv2.polylines(picture, [line], "iris" in name, LINE, width // 2 or 1, cv2.LINE_AA)
    return picture


def draw_looks(photos: str) -> None:
    """Eight people in every look."""
    sitters = [portraits()[0], *(open_photo(Path(photos) / "portraits" / f"{name}.jpg") for name in SITTERS)]
    faces = [find_faces(photo)[0] for photo in sitters]
    lines = []
    for look in LOOKS:
        painted = [
            paint(photo, face.points, look, seed, face.box.turned).photo
            for seed, (photo, face) in enumerate(zip(sitters, faces, strict=True))
        ]
        lines.append(np.hstack([aligned_face(p, face.points, 176) for p, face in zip(painted, faces, strict=True)]))
    save_photo(DOCS / "practice_looks.jpg", np.vstack(lines), quality=88)


def draw_starters(faces: str) -> None:
    """What the starters make of people they never saw. faces: practice faces, for their test people."""
    generators = {look: load_generator(starter_path(look)) for look in starter_looks()}
    cells = []
    for photo in portraits():
        points = find_faces(photo)[0].points
        pictures = [photo, *(transform(photo, generator) for generator in generators.values())]
        cells += [aligned_face(picture, points, 480) for picture in pictures]
    captions = ["before", *generators] * 2
    save_photo(DOCS / "before_after.jpg", contact_sheet(cells, columns=6, cell=256, captions=captions), quality=88)
    save_photo(DOCS / "seam.jpg", at_full_size(portraits()[0]), quality=92)
    test = FaceSet(faces, "pairs", "selfie", 256)
    test = [face for face, name in zip(test.images, test.names, strict=True) if "portraits" in name]
    everybody, chosen = [], []
    for generator in generators.values():
        with torch.inference_mode():
            drag = [to_bytes(generator(to_unit(face[None])).image)[0] for face in test]
        everybody += drag
        chosen += [drag[number] for number in CHOSEN]
    save_photo(DOCS / "starter_faces.jpg", contact_sheet(everybody, columns=13, cell=96), quality=85)
    save_photo(DOCS / "chosen.jpg", contact_sheet(chosen, columns=len(CHOSEN), cell=200), quality=88)


def at_full_size(photo: np.ndarray, side: int = 200) -> np.ndarray:
    """The face of a photo, pixel for pixel: as it was, in drag, and in drag at the most strength there is."""
    drag = make_drag(photo)
    left, top = (int(middle) - side // 2 for middle in drag.faces[0].face.points.mean(axis=0))
    cells = [drag.at(strength)[top : top + side, left : left + side] for strength in (0, 1, 1.5)]
    return contact_sheet(cells, columns=3, cell=side, captions=["before", "100 %", "150 %"])


def draw_training(run: str, faces: str) -> None:
    """The losses of a run, and what it made of the portraits among its fixed test faces at growing steps."""
    save_run_losses(run)
    names = FaceSet(faces, "selfie", "test", 64).names
    columns = [n for n, place in enumerate(sample_places(len(names))) if "portraits" in names[place]]
    rows, captions = [[] for _ in columns], []
    for step, path in samples(Path(run)).items():
        sheet = open_photo(path)
        size = sheet.shape[0] // ROWS
        for row, column in zip(rows, columns, strict=True):
            row.append(sheet[size : 2 * size, column * size : (column + 1) * size])
        captions.append(f"{step:,} steps")
    sheet = contact_sheet(sum(rows, []), columns=len(captions), cell=128, captions=captions * len(rows))
    save_photo(DOCS / "progression.jpg", sheet, quality=88)


def save_run_losses(run: str) -> None:
    """docs/losses.png from a run's journal."""
    plot_losses(read_journal(Path(run) / "journal.jsonl")).savefig(DOCS / "losses.png", dpi=100)


class Drawing:
    """Axes of 16 x 7 units, with boxes, pictures and arrows at places in them."""

    def __init__(self):
        self.figure = plt.figure(figsize=(16, 7), facecolor=PAPER)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, 16), ylim=(0.5, 7.5))
        self.axes.axis("off")

    def box(self, x: float, y: float, width: float, height: float, title: str, text: str, colour: str) -> None:
        """A box around (x, y) with a title and smaller words under it."""
        corner = (x - width / 2, y - height / 2)
        self.axes.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.04,rounding_size=0.15", fc=colour, ec=INK, lw=1)
        )
        top = y + height / 2 - 0.3
        self.axes.text(x, top, title, ha="center", va="center", fontsize=13, weight="bold", color=INK)
        self.axes.text(x, top - 0.26, text, ha="center", va="top", fontsize=10.5, color=INK, linespacing=1.35)

    def picture(self, x: float, y: float, side: float, pixels: np.ndarray, caption: str, **style) -> None:
        """A square picture around (x, y), with words under it."""
        half = side / 2
        self.axes.imshow(pixels, extent=(x - half, x + half, y - half, y + half), zorder=3, **style)
        self.axes.text(x, y - half - 0.2, caption, ha="center", va="center", fontsize=11, color=INK)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0, colour: str = INK) -> None:
        """An arrow, straight or bent to one side."""
        style = {"arrowstyle": "-|>", "mutation_scale": 16, "lw": 1.4, "color": colour}
        self.axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **style, zorder=2))

    def loss(self, x: float, y: float, text: str) -> None:
        """The name of a loss and its weight."""
        self.axes.text(x, y, text, ha="center", va="center", fontsize=11.5, weight="bold", color=LOSS, linespacing=1.3)


def draw_how_it_works() -> None:
    """U-GAT-IT in one figure, with what the starter generator makes of a portrait."""
    generator = load_generator(starter_path())
    photo = portraits()[0]
    selfie = aligned_face(photo, find_faces(photo)[0].points, generator.size)
    with torch.inference_mode():
        made = generator(to_unit(torch.from_numpy(selfie).permute(2, 0, 1)[None]))
    drag, attention = to_bytes(made.image)[0], made.attention[0, 0].numpy()
    draw = Drawing()
    row = 5.2
    draw.picture(1.15, row, 1.7, selfie, "selfie")
    draw.box(3.75, row, 1.9, 1.9, "encoder", "3 convolutions\n4 residual blocks\ninstance norm", GENERATOR)
    draw.box(6.35, row, 1.9, 1.9, "attention", "CAM: which features\ntell a selfie from\ndrag? weigh them", STATISTICS)
    draw.box(8.95, row, 1.9, 1.9, "decoder", "4 residual blocks\nwith AdaLIN\n2 upsamplings, LIN", GENERATOR)
    draw.picture(11.6, row, 1.7, drag, "selfie + change = drag")
    draw.box(14.4, row + 0.78, 2.5, 1.25, "global discriminator", "the whole face:\nreal or generated?", DISCRIMINATOR)
    draw.box(14.4, row - 0.78, 2.5, 1.25, "local discriminator", "each patch:\nreal or generated?", DISCRIMINATOR)
    for start, end in ((2.05, 2.75), (4.75, 5.35), (7.35, 7.95), (9.95, 10.7)):
        draw.arrow((start, row), (end, row))
    draw.arrow((12.5, row + 0.2), (13.1, row + 0.7))
    draw.arrow((12.5, row - 0.2), (13.1, row - 0.7))
    draw.loss(14.4, row + 1.85, "adversarial (1)")

    draw.picture(5.55, 2.6, 1.3, attention, "where it looks", cmap="magma")
    draw.arrow((6.1, row - 1.0), (5.7, 3.33))
    draw.box(7.65, 2.6, 1.9, 1.3, "two-layer MLP", "gives $\\gamma$ and $\\beta$\nof every AdaLIN", STATISTICS)
    draw.arrow((6.6, row - 1.0), (7.4, 3.3))
    draw.arrow((7.95, 3.3), (8.75, row - 1.0))
    draw.loss(3.45, 3.3, "CAM loss (10)\nselfie or drag, told\nby these features")
    draw.arrow((5.55, row - 1.0), (4.45, 3.55), colour=LOSS)

    draw.box(11.6, 2.6, 2.3, 1.3, "the other generator", "the same network,\nfrom drag to selfie", GENERATOR)
    draw.arrow((11.6, row - 1.15), (11.6, 3.3))
    draw.arrow((10.4, 2.1), (1.0, row - 1.15), bend=-0.36, colour=LOSS)
    draw.loss(6.3, 0.8, "cycle (10): there and back is the selfie again")
    draw.loss(14.4, 2.75, "identity (10): a face in drag,\nshown to the first generator,\nstays as it is")
    draw.axes.text(0.3, 7.15, "U-GAT-IT, one direction of two", fontsize=17, weight="bold", color=INK, va="center")
    draw.figure.savefig(DOCS / "how_it_works.png", dpi=80)


COMMANDS = {
    "crop": draw_crop,
    "how": draw_how_it_works,
    "looks": draw_looks,
    "starters": draw_starters,
    "training": draw_training,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
