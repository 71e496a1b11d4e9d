"""Train the landmark network on photos with known points.

    python -m dragface_lib landmarks PHOTOS -o landmarks.safetensors

PHOTOS holds pictures with a `.tem` file of 189 points beside them: the London set (`NNN_03.jpg`, placed by
hand) and, with less weight, portraits whose points are estimates; and pictures of the same people in painted
drag (`london_NNN_*.jpg`, `portrait_KIND_N.jpg`), so that make-up does not move the points. The people whom
every measurement is made on are left out.
"""

from __future__ import annotations

import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ..devices import Precision, choose_precision
from ..errors import DragFaceError
from ..files import replace_atomically
from ..images import SUFFIXES, open_photo
from .landmark_views import Sample, draw_face, draw_no_face, make_sample, random_shear
from .landmarks import INPUT_EYES, POINTS, LandmarkNetwork, read_network, to_input

FACES_A_BATCH, OTHERS_A_BATCH = 52, 12
BY_HAND = 0.75  # the share of faces whose points were placed by hand, where there are others
LR = 2e-3  # highest learning rate; warm-up over the first twentieth, then half a cosine to zero
LR_ON = 8e-4  # the same where training goes on from weights that there are
EMA_STEPS = 100  # the saved weights are an average over about so many steps
# Principal components of whole faces, and of what these leave over on the eyes and on the lips, where it shows.
COMPONENTS = ((slice(None), 60), (slice(0, 34), 16), (slice(87, 109), 24))
# Pictures inside scikit-image that show no face, for what the network must not take for one.
NO_FACES = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "page", "text", "rocket", "clock")


def train_landmarks(
    photos: str | Path,
    out: str | Path,
    minutes: float = 10,
    seed: int = 0,
    start: str | Path | None = None,
    progress: bool = True,
    precision: Precision = "auto",
) -> Path:
    """Train for `minutes` and write the weights, in half precision, to `out`.

    start: weights to go on from; precision: that of the convolutions. Raises DragFaceError when `photos` holds too few
    pictures with a `.tem` file, or `start` is no such file.
    """
    samples = load_samples(photos, progress=progress)
    if len(samples) < 8:
        raise DragFaceError(
            f"{photos} holds {len(samples)} pictures with a .tem file of {POINTS} points: the London set has 102."
        )
    others = _pictures_without_faces()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if start is None:
        shapes = np.stack([_to_shape(sample.points) for sample in samples])
        mirror = mirror_of(shapes)
        mean, basis = _shape_basis(shapes, mirror, rng)
        network = LandmarkNetwork(len(basis))
        for buffer, values in ((network.mirror, mirror), (network.mean, mean), (network.basis, basis)):
            buffer.copy_(torch.from_numpy(values))
        torch.nn.init.normal_(network.coefficients.weight, std=0.01)
        torch.nn.init.zeros_(network.coefficients.bias)
    else:
        network = read_network(start)
    dtype = choose_precision(precision, torch.device("cpu"))
    highest, mirror = LR if start is None else LR_ON, network.mirror.numpy()
    network.to(memory_format=torch.channels_last).train()

    optimizer = torch.optim.AdamW(network.parameters(), highest, weight_decay=0.01)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    started = shown = time.monotonic()
    step, losses = 0, np.zeros(2)
    bar = tqdm(total=round(minutes * 60), unit="s", disable=not progress, bar_format="{l_bar}{bar}| {postfix}")
    with ThreadPoolExecutor(1) as drawing:
        upcoming = drawing.submit(_draw_batch, samples, mirror, others, rng)
        while (share := (time.monotonic() - started) / (minutes * 60)) < 1:
            batch = upcoming.result()
            upcoming = drawing.submit(_draw_batch, samples, mirror, others, rng)
            for group in optimizer.param_groups:
                group["lr"] = highest * min(1, share * 20 + 0.01) * (1 + math.cos(math.pi * share)) / 2
            points_loss, face_loss = _losses(network, *batch, dtype)
            optimizer.zero_grad()
            (points_loss + 0.02 * face_loss).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
            _average(average, network.state_dict(), 1 / min(step, EMA_STEPS))
            losses += 0.02 * (np.array([points_loss.item(), face_loss.item()]) - losses)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                bar.update(round(shown - started) - bar.n)
                bar.set_postfix_str(f"step {step}, points {losses[0]:.4f}, face or not {losses[1]:.4f}")
    bar.close()
    return save_landmarks(average, len(network.basis), out)


def load_samples(photos: str | Path, test_people: bool = False, progress: bool = False) -> list[Sample]:
    """The faces to learn from below `photos` (or, with `test_people`, the faces kept for measuring)."""
    samples = []
    photos = Path(photos)
    painted: dict[str, list[Path]] = {}
    for path in photos.rglob("*"):
        if match := re.fullmatch(r"(london_\d+|portrait_(?:fe)?male_\d+)(?:_\d+)?", path.stem):
            painted.setdefault(match[1], []).append(path)
    for tem in tqdm(sorted(photos.rglob("*.tem")), desc="reading faces", disable=not progress):
        person, by_hand = _person(tem)
        bare = next((p for p in sorted(tem.parent.glob(tem.stem + ".*")) if p.suffix.lower() in SUFFIXES), None)
        if bare is None or is_test_person(person) != test_people:
            continue
        rgb, points = open_photo(bare), read_tem(tem)
        size = np.array(rgb.shape[1::-1])
        if (points < 0).any() or (points >= size).any():
            continue  # an estimate that went astray
        weights = _weights(by_hand)
        samples.append(make_sample(rgb, points, weights, by_hand))
        for other in sorted(painted.get(person, [])):
            rgb = open_photo(other)
            scale = np.array(rgb.shape[1::-1]) / size
            samples.append(make_sample(rgb, (points + 0.5) * scale - 0.5, weights, by_hand))
    return samples


def read_tem(path: str | Path) -> np.ndarray:
    """The points (N, 2) float64 of a `.tem` file, in pixels. Raises DragFaceError for another format."""
    try:
        words = Path(path).read_text().split()
        count = int(words[0])
        points = np.array(words[1 : 1 + 2 * count], np.float64).reshape(count, 2)
    except (OSError, ValueError, IndexError) as error:
        raise DragFaceError(f"{path} is not a .tem file of landmarks: leave it out.") from error
    if count != POINTS:
        raise DragFaceError(f"{path} has {count} points instead of {POINTS}: leave it out.")
    return points


def is_test_person(person: str) -> bool:
    """Whether someone is never trained on: one London person in six, one portrait in five."""
    number = re.search(r"\d+$", person)
    if number is None:
        return False
    return int(number[0]) % 6 == 1 if person.startswith("london") else int(number[0]) % 5 == 0


def mirror_of(shapes: np.ndarray) -> np.ndarray:
    """Which point becomes which when a face is mirrored: (189,) int64, from shapes (N, 189, 2) about x = 0."""
    mean = np.median(shapes, 0)
    distances = np.linalg.norm(mean[:, None] - mean[None] * [-1, 1], axis=-1)
    distances = np.minimum(distances, distances.T)
    mirror = linear_sum_assignment(distances**2)[1]
    # Points that lie close together may be assigned in a ring (a to b, b to c, c to a): within it the nearest pair up.
    while (unpaired := np.flatnonzero(mirror[mirror] != np.arange(len(mirror)))).size:
        ring = [unpaired[0]]
        while mirror[ring[-1]] != ring[0]:
            ring.append(mirror[ring[-1]])
        for one, other in sorted(combinations_with_replacement(ring, 2), key=lambda pair: distances[pair]):
            if one in ring and other in ring:
                mirror[one], mirror[other] = other, one
                ring = [point for point in ring if point not in (one, other)]
    return mirror.astype(np.int64)


def save_landmarks(state: dict[str, Tensor], components: int, out: str | Path) -> Path:
    """Write a network's weights, in half precision, to `out`, atomically."""
    halves = {n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in state.items()}
    with replace_atomically(out) as temporary:
        save_file(halves, str(temporary), metadata={"network": json.dumps({"components": components})})
    return Path(out)


def _person(tem: Path) -> tuple[str, bool]:
    if match := re.fullmatch(r"(\d{3})_\d\d", tem.stem):
        return f"london_{match[1]}", True
    return f"portrait_{tem.parent.name}_{tem.stem}", False


def _weights(by_hand: bool) -> np.ndarray:
    """How much each point counts: the pupils most, since they decide the alignment; estimates less."""
    weights = np.full(POINTS, 1.0 if by_hand else 0.2)
    weights[:44] = 3.0 if by_hand else 1.4
    weights[87:109] = 5.0 if by_hand else 1.0
    weights[:2] = 12.0
    return weights / 3.0


def _pictures_without_faces() -> list[np.ndarray]:
    import skimage.data

    pictures = []
    for path in sorted(Path(skimage.data.__file__).parent.iterdir()):
        if path.stem.split("_")[0] in NO_FACES and path.suffix in (".png", ".jpg"):
            pictures.append(open_photo(path))
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    flat = np.full((2, 16, 16, 3), [[[[230, 225, 220]]], [[[20, 20, 25]]]], np.uint8)
    return [*pictures, *noise, *flat]


def _to_shape(points: np.ndarray) -> np.ndarray:
    """Points (189, 2) of a level face, in units of the crop about the middle between the pupils."""
    scale = (INPUT_EYES[1, 0] - INPUT_EYES[0, 0]) / np.linalg.norm(points[1] - points[0])
    return (points - points[:2].mean(0)) * scale


def _shape_basis(shapes: np.ndarray, mirror: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean (189, 2) and basis (components, 189, 2) of shapes (N, 189, 2), for coefficients near 1."""
    both = np.concatenate([shapes, shapes[:, mirror] * [-1, 1]])
    sheared = [_levelled(shape @ random_shear(rng).T) for shape in both for _ in range(3)]
    seen = np.concatenate([both, np.stack(sheared)])
    mean = seen.mean(0)
    left, basis = seen - mean, []
    for part, count in COMPONENTS:
        flat = left[:, part].reshape(len(left), -1)
        _, sizes, directions = np.linalg.svd(flat, full_matrices=False)
        directions, sizes = directions[:count], sizes[:count]
        components = np.zeros((len(directions), POINTS, 2))
        components[:, part] = (directions * sizes[:, None] / math.sqrt(len(left))).reshape(len(directions), -1, 2)
        basis.append(components)
        left[:, part] -= (flat @ directions.T @ directions).reshape(len(left), -1, 2)
    return mean, np.concatenate(basis)


def _levelled(shape: np.ndarray) -> np.ndarray:
    x, y = shape[1] - shape[0]
    turn = np.array([[x, y], [-y, x]]) / math.hypot(x, y)
    return _to_shape(shape @ turn.T)


def _draw_batch(
    samples: list[Sample], mirror: np.ndarray, others: list[np.ndarray], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    chosen = rng.choice(len(samples), FACES_A_BATCH + OTHERS_A_BATCH, p=_chances(samples))
    faces = [draw_face(samples[i], mirror, others, rng) for i in chosen[:FACES_A_BATCH]]
    crops = [face[0] for face in faces] + [draw_no_face(samples[i], others, rng) for i in chosen[FACES_A_BATCH:]]
    points, weights = (np.stack([face[i] for face in faces]).astype(np.float32) for i in (1, 2))
    return to_input(torch.from_numpy(np.stack(crops))), torch.from_numpy(points), torch.from_numpy(weights)


def _chances(samples: list[Sample]) -> np.ndarray:
    """How likely each sample is drawn (N,): evenly among those placed by hand, and among the others."""
    by_hand = np.array([sample.by_hand for sample in samples])
    chances = np.where(by_hand, BY_HAND / max(1, by_hand.sum()), (1 - BY_HAND) / max(1, (~by_hand).sum()))
    return chances / chances.sum()


def _losses(
    network: LandmarkNetwork, crops: Tensor, points: Tensor, weights: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Mean weighted distance of the points in interocular distances, and cross entropy of face or not."""
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        features = network.features(crops.contiguous(memory_format=torch.channels_last))
    answer, logits = network.points(features.float())
    distance = (points[:, 1] - points[:, 0]).norm(dim=-1)[:, None]
    errors = (answer[: len(points)] - points).abs().sum(-1) / distance  # (B, 189)
    is_face = (torch.arange(len(crops)) < len(points)).float()
    return (errors * weights).mean(), functional.binary_cross_entropy_with_logits(logits, is_face)


def _average(average: dict[str, Tensor], state: dict[str, Tensor], share: float) -> None:
    for name, value in state.items():
        if value.is_floating_point():
            average[name].lerp_(value, share)
        else:
            average[name].copy_(value)
