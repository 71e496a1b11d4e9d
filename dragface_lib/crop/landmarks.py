"""189 landmarks on a face, in the order of the London set's .tem files, and the soft mask of the face within them.

    points, confidence = Landmarks.load().locate(rgb, box)
    mask = mask_of_face(face)      of an aligned face

A small network of our own runs three times: on the detector's box, then on the crops in which its own points have put
the eyes level and in place. So the points hardly depend on the detector. `tools/landmarks.py` trains it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .align import EYES, apply, crop_face, similarity
from .detect import Box

WEIGHTS = Path(__file__).with_name("landmarks.safetensors")
POINTS = 189
INPUT_SIZE = 128  # pixels of the square crop that the network sees
INPUT_EYES = np.array([[0.335, 0.42], [0.665, 0.42]])  # where the pupils lie in it
ROUNDS = 3  # the box, then twice the network's own points
FACE_CONFIDENCE = 0.7  # minimum confidence that a crop shows a face
MISPLACED = 0.05  # largest distance of an aligned face's eyes from their places, in sides of the crop

FOREHEAD = 0.9  # upper end of the mask, on the way from the eyes to the hairline, whose landmarks are rough
BROWS = 1.1  # minimum of that end, on the way from the eyes to the brows
MASK_SIZE = 256  # pixels of the side at which a mask is drawn
# Lengths below are in sides of the crop.
INSIDE = 0.045  # distance inside the outline from which the mask is 1
OUTSIDE = 0.015  # distance outside the outline from which the mask is 0
BORDER = (0.02, 0.1)  # distances from the crop's border between which the mask rises from 0 to 1
CENTRE, RADII = (0.5, 0.56), (0.26, 0.36)  # the ellipse that is used without landmarks

HAIRLINE = tuple(range(134, 145))  # from the left temple over the forehead to the right temple
# The outline of the face, from the left temple over the hairline to the right one and back along the jaw.
OVAL = (109, *HAIRLINE, 112, 187, 113, 188, 114, *range(133, 124, -1), 111, 186, 110, 185)
# Numbers of the points by what they outline; left and right as seen in the picture.
CONTOURS = {
    "left_upper_lashes": (18, 19, 20, 21, 22),
    "right_upper_lashes": (23, 24, 25, 26, 27),
    "left_lower_lashes": (18, 28, 29, 30, 22),
    "right_lower_lashes": (23, 31, 32, 33, 27),
    "left_crease": (34, 35, 36, 37, 38),
    "right_crease": (39, 40, 41, 42, 43),
    "left_brow_top": (71, 72, 73, 74, 75, 76),
    "right_brow_top": (77, 78, 79, 80, 81, 82),
    "left_brow_bottom": (71, 83, 84, 76),
    "right_brow_bottom": (77, 85, 86, 82),
    "upper_lip_top": (87, 88, 89, 90, 91, 92, 93),
    "upper_lip_bottom": (87, 94, 95, 96, 97, 98, 93),
    "lower_lip_top": (87, 99, 100, 101, 102, 103, 93),
    "lower_lip_bottom": (87, 104, 105, 106, 107, 108, 93),
    "jaw": (111, 125, 126, 127, 128, 129, 130, 131, 132, 133, 114),
}


class LandmarkNetwork(nn.Module):
    """Crops (B, 3, 128, 128) in -1..1 to points (B, 189, 2) in units of the crop, and face logits (B,).

    The answer is a face of a shape basis (mean and principal components of the training faces), turned,
    scaled and shifted by a similarity: the last layer gives the coefficients and the four numbers of it.
    """

    mean: Tensor
    basis: Tensor
    mirror: Tensor

    def __init__(self, components: int = 60):
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 16, 2, 5), _convolution(16, 24, 2))
        stages: list[nn.Module] = [_Residual(24), _Residual(24)]
        for inner, outer in ((24, 48), (48, 96), (96, 120)):
            stages += [_convolution(inner, outer, 2), _Residual(outer), _Residual(outer)]
        self.stages = nn.Sequential(*stages)
        self.squeeze = _convolution(120, 64, 1, 1)
        self.hidden = nn.Linear(64 * 4 * 4, 192)
        self.coefficients = nn.Linear(192, components + 4)
        self.is_face = nn.Linear(192, 1)
        self.register_buffer("mean", torch.zeros(POINTS, 2))  # in units of the crop, about its eye centre
        self.register_buffer("basis", torch.zeros(components, POINTS, 2))
        self.register_buffer("mirror", torch.arange(POINTS))  # which point becomes which in a mirrored face

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """crops: (B, 3, 128, 128), see `to_input`. Returns points (B, 189, 2) and face logits (B,)."""
        features = self.squeeze(self.stages(self.stem(crops)))
        hidden = torch.relu(self.hidden(features.flatten(1)))
        shape, pose = self.coefficients(hidden).split([len(self.basis), 4], dim=1)
        faces = self.mean + torch.einsum("bk,kpc->bpc", shape, self.basis)
        turn_x, turn_y = 1 + pose[:, 0, None], pose[:, 1, None]
        x, y = faces.unbind(-1)
        centre = torch.tensor(INPUT_EYES.mean(0), dtype=faces.dtype, device=faces.device)
        moved = torch.stack([turn_x * x - turn_y * y, turn_y * x + turn_x * y], -1)
        return moved + centre + pose[:, None, 2:], self.is_face(hidden)[:, 0]


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _convolution(inner: int, outer: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer), nn.ReLU())


class Landmarks:
    """The trained network; `Landmarks.load()` reads the weights once and hands out the same one again."""

    def __init__(self, network: LandmarkNetwork):
        for part in network.eval().modules():
            if isinstance(part, nn.Sequential):  # fold each batch norm into its convolution
                convolution, norm = part[:2]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    part[0], part[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        self.network = network.to(memory_format=torch.channels_last)

    @classmethod
    @lru_cache(maxsize=2)
    def load(cls, path: str | Path = WEIGHTS) -> Landmarks:
        """The network of a file of weights."""
        return cls(read_network(path))

    def locate(self, rgb: np.ndarray, box: Box, degrees: float = 0.0) -> tuple[np.ndarray, float]:
        """Landmarks (189, 2) float32 of the face in a box of a photo (H, W, 3) uint8 RGB, in pixels of the photo.

        degrees: how far the face is thought to lean clockwise. Returns the points and the confidence that this is a
        face, 0..1.
        """
        # The first crop has the box's centre and 1.3 times its size.
        centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
        half = 1.3 * float(np.sqrt(box.width * box.height)) / 2
        across = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * half
        sides = np.stack([centre - across, centre + across])
        return self._locate(rgb, similarity(sides, INPUT_SIZE, np.array([[0.0, 0.5], [1.0, 0.5]])), ROUNDS)

    def locate_aligned(self, face: np.ndarray) -> tuple[np.ndarray, float]:
        """The same for an aligned face (S, S, 3) uint8 RGB, in its pixels; its eyes are in place, so one round does."""
        return self._locate(face, similarity(EYES * len(face) - 0.5, INPUT_SIZE, INPUT_EYES), 1)

    def _locate(self, rgb: np.ndarray, matrix: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
        for number in range(rounds):
            crop = crop_face(rgb, matrix, INPUT_SIZE)
            # The last round averages the crop and its mirror image: more accurate, and neither side is favoured.
            views = np.stack([crop, crop[:, ::-1]] if number == rounds - 1 else [crop])
            with torch.inference_mode():
                predicted, logits = self.network(to_input(torch.from_numpy(views)))
            points = predicted.double().numpy() * INPUT_SIZE - 0.5
            points[1:] = points[1:, self.network.mirror.numpy()]
            points[1:, :, 0] = INPUT_SIZE - 1 - points[1:, :, 0]
            points = apply(cv2.invertAffineTransform(matrix), points.mean(0))
            matrix = similarity(points, INPUT_SIZE, INPUT_EYES)
        return points.astype(np.float32), float(torch.sigmoid(logits.mean()))


def to_input(crops: Tensor) -> Tensor:
    """Crops (B, 128, 128, 3) uint8 to (B, 3, 128, 128) float32 in -1..1, as the network expects them."""
    return crops.permute(0, 3, 1, 2).float() / 127.5 - 1


def read_network(path: str | Path) -> LandmarkNetwork:
    """The network of a file of weights, as it was trained."""
    state = load_file(path)
    network = LandmarkNetwork(len(state["basis"]))
    network.load_state_dict(state)
    return network


def face_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Where on a crop of `size` pixels the face is: (size, size) float32, 1 on it, 0 outside, soft between.

    points: (189, 2) landmarks in pixels of the crop. The face is the hull of jaw, forehead, brows and temples.
    """
    points = (np.asarray(points, np.float64) + 0.5) / size
    eyes = points[:2].mean(axis=0)
    forehead = eyes + FOREHEAD * (points[list(HAIRLINE)] - eyes)
    brows = eyes + BROWS * (points[list(CONTOURS["left_brow_top"] + CONTOURS["right_brow_top"])] - eyes)
    outline = np.concatenate([points[list(CONTOURS["jaw"])], forehead, brows]).clip(-1, 2)
    hull = cv2.convexHull((outline * MASK_SIZE).round().astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros((MASK_SIZE, MASK_SIZE), np.uint8), hull, 1)
    inward = cv2.distanceTransform(face, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - face, cv2.DIST_L2, 5)
    mask = smoothstep(-OUTSIDE, INSIDE, inward / MASK_SIZE)
    to_side = np.minimum(np.arange(MASK_SIZE), np.arange(MASK_SIZE)[::-1]) / MASK_SIZE
    mask *= smoothstep(*BORDER, np.minimum.outer(to_side, to_side))
    return cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def mask_of_face(face: np.ndarray) -> np.ndarray:
    """The same mask for an aligned face (S, S, 3) uint8 RGB, by the landmarks found on it: (S, S) float32, 0..1.

    Without landmarks, as in paintings or behind hands, a soft ellipse at the usual place.
    """
    size, points = face.shape[0], points_on_face(face)
    if points is not None:
        return face_mask(points, size)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    radius = np.hypot((x - CENTRE[0]) / RADII[0], (y - CENTRE[1]) / RADII[1])
    return smoothstep(-OUTSIDE / RADII[0], INSIDE / RADII[0], 1 - radius).astype(np.float32)


def points_on_face(face: np.ndarray) -> np.ndarray | None:
    """Landmarks (189, 2) of an aligned face (S, S, 3), in its pixels; None where no face is seen in its place."""
    points, confidence = Landmarks.load().locate_aligned(face)
    off = np.abs((points[:2] + 0.5) / len(face) - EYES).max()
    return points if confidence >= FACE_CONFIDENCE and off <= MISPLACED else None


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (the other way round where low > high), and 3t^2 - 2t^3 between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
