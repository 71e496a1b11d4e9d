"""Draw the README's figure of how U-GAT-IT works, with what the starter generator makes of a public-domain portrait.

PYTHONPATH=. python tools/draw_how_it_works.py docs/how_it_works.png
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from skimage import data

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face
from dragface_lib.model import load_generator, starter_path
from dragface_lib.model.tensors import to_bytes, to_unit

INK, PAPER = "#2b2330", "white"
GENERATOR, STATISTICS, JUDGE, LOSS = "#e8d5f5", "#fde2c8", "#d5e8f5", "#b3315f"


def portrait() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A selfie, its drag, and where the generator looks: (S, S, 3), (S, S, 3) uint8 and (S / 4, S / 4)."""
    photo = np.ascontiguousarray(data.astronaut())
    generator = load_generator(starter_path())
    face = aligned_face(photo, find_faces(photo)[0].points, generator.size)
    with torch.inference_mode():
        made = generator(to_unit(torch.from_numpy(face).permute(2, 0, 1)[None]))
    return face, to_bytes(made.image)[0], made.attention[0, 0].numpy()


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


def main(path: str) -> None:
    """Draw it."""
    selfie, drag, attention = portrait()
    draw = Drawing()
    row = 5.2
    draw.picture(1.15, row, 1.7, selfie, "selfie")
    draw.box(3.75, row, 1.9, 1.9, "encoder", "3 convolutions\n4 residual blocks\ninstance norm", GENERATOR)
    draw.box(6.35, row, 1.9, 1.9, "attention", "CAM: which features\ntell a selfie from\ndrag? weigh them", STATISTICS)
    draw.box(8.95, row, 1.9, 1.9, "decoder", "4 residual blocks\nwith AdaLIN\n2 upsamplings, LIN", GENERATOR)
    draw.picture(11.6, row, 1.7, drag, "selfie + change = drag")
    draw.box(14.4, row + 0.78, 2.5, 1.25, "global discriminator", "the whole face:\nreal or generated?", JUDGE)
    draw.box(14.4, row - 0.78, 2.5, 1.25, "local discriminator", "each patch:\nreal or generated?", JUDGE)
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
    draw.figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(sys.argv[1])
