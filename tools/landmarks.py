"""Train the landmark network of dragface_lib/crop/landmarks.safetensors, and measure how exactly it places points.

PYTHONPATH=. python tools/landmarks.py train PHOTOS -o FILE [--minutes 10] [--start FILE]
PYTHONPATH=. python tools/landmarks.py measure PHOTOS [--sheets FOLDER]

PHOTOS holds pictures with a `.tem` file of 189 points beside them: the London set (`NNN_03.jpg`, placed by hand), and
with less weight portraits with estimated points; and the same people in painted drag (`london_NNN_*.jpg`,
`portrait_KIND_N.jpg`), so that make-up does not move the points. Test people are measured and never trained on.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face, apply, crop_face, interocular, similarity
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.landmarks import (
    CONTOURS,
    INPUT_EYES,
    INPUT_SIZE,
    POINTS,
    WEIGHTS,
    LandmarkNetwork,
    read_network,
    to_input,
)
from dragface_lib.errors import DragFaceError
from dragface_lib.files import SUFFIXES, replace_atomically
from dragface_lib.images import contact_sheet, find_photos, open_photo, save_photo

FACES_A_BATCH, OTHERS_A_BATCH = 52, 12
BY_HAND = 0.75  # share of the drawn faces whose points were placed by hand
LR = 2e-3  # highest learning rate; warm-up over the first twentieth, then half a cosine to zero
LR_AGAIN = 8e-4  # highest learning rate when training goes on from weights
EMA_STEPS = 100  # the saved weights are an average over about so many steps
FACE_LOSS = 0.02  # weight of the loss of "face or not"
# Principal components of whole faces, then of what these leave over on the eyes and on the lips, where it shows.
COMPONENTS = ((slice(None), 60), (slice(0, 34), 16), (slice(87, 109), 24))
CANVAS = 320  # pixels of a training face's side
CANVAS_EYES = np.array([[0.40625, 0.44], [0.59375, 0.44]])  # 60 px apart: the network's input has 42 px
EYE_DISTANCE = INPUT_EYES[1, 0] - INPUT_EYES[0, 0]
# Pictures inside scikit-image that show no face.
NO_FACES = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "page", "text", "rocket", "clock")
PARTS = {"pupils": slice(2), "eyes, with irises and lashes": slice(34), "lips": slice(87, 109), "brows": slice(71, 87)}
CELL = 256  # pixels of a face on a contact sheet


class Sample(NamedTuple):
    """A face to learn from, with its eyes level.

    canvas: (320, 320, 3) uint8 RGB. points: (189, 2) in its pixels. weights: (189,), how much each point counts.
    by_hand: whether the points were placed by hand.
    """

    canvas: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    by_hand: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("train")
    sub.add_argument("photos", type=Path)
    sub.add_argument("-o", "--output", type=Path, required=True)
    sub.add_argument("--minutes", type=float, default=10.0)
    sub.add_argument("--start", type=Path, help="weights to go on from (default: begin anew)")
    sub = commands.add_parser("measure")
    sub.add_argument("photos", type=Path)
    sub.add_argument("--sheets", type=Path, help="folder for contact sheets with the points drawn on all faces")
    options = parser.parse_args()
    if options.command == "train":
        train(options.photos, options.output, options.minutes, options.start)
    else:
        measure(options.photos)
        if options.sheets:
            draw_sheets(options.photos, options.sheets)


def train(photos: Path, out: Path, minutes: float = 10, start: Path | None = None) -> None:
    """Train for `minutes` and write the weights, in half precision, to `out`."""
    samples = load_samples(photos)
    if len(samples) < 8:
        raise DragFaceError(f"{photos} holds {len(samples)} pictures with a .tem file: the London set has 102.")
    backgrounds = pictures_without_faces()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = (new_network(samples, rng) if start is None else read_network(start)).train()
    network.to(memory_format=torch.channels_last)
    highest, mirror = LR if start is None else LR_AGAIN, network.mirror.numpy()
    optimizer = torch.optim.AdamW(network.parameters(), highest, weight_decay=0.01)
    state = network.state_dict()  # the very tensors that are trained
    average = {name: value.clone() for name, value in state.items() if value.is_floating_point()}
    started, step = time.monotonic(), 0
    bar = tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {postfix}")
    with ThreadPoolExecutor(1) as drawing:
        upcoming = drawing.submit(draw_batch, samples, mirror, backgrounds, rng)
        while (share := (time.monotonic() - started) / (minutes * 60)) < 1:
            crops, points, weights = upcoming.result()
            upcoming = drawing.submit(draw_batch, samples, mirror, backgrounds, rng)
            for group in optimizer.param_groups:
                group["lr"] = highest * min(1, share * 20 + 0.01) * (1 + math.cos(math.pi * share)) / 2
            points_loss, face_loss = losses(network, crops, points, weights)
            optimizer.zero_grad()
            (points_loss + FACE_LOSS * face_loss).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
            for name, value in average.items():
                value.lerp_(state[name], 1 / min(step, EMA_STEPS))
            if step % 20 == 1:
                bar.update(int(100 * share) - bar.n)
                bar.set_postfix_str(f"step {step}, points {points_loss.item():.4f}, face {face_loss.item():.4f}")
    bar.close()
    halves = {name: average[name].half() if name in average else value for name, value in state.items()}
    with replace_atomically(out) as temporary:
        save_file({name: value.contiguous() for name, value in halves.items()}, str(temporary))


def losses(network: LandmarkNetwork, crops: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean weighted distance of the points in interocular distances, and cross entropy of face or not."""
    predicted, logits = network(crops.contiguous(memory_format=torch.channels_last))
    distance = (points[:, 1] - points[:, 0]).norm(dim=-1)[:, None]
    errors = (predicted[: len(points)] - points).abs().sum(-1) / distance  # (B, 189)
    is_face = (torch.arange(len(crops)) < len(points)).float()
    return (errors * weights).mean(), functional.binary_cross_entropy_with_logits(logits, is_face)


def load_samples(photos: Path, test_people: bool = False) -> list[Sample]:
    """The faces to learn from below `photos`; with `test_people` those kept for measuring."""
    samples = []
    painted: dict[str, list[Path]] = {}
    for path in photos.rglob("*"):
        if match := re.fullmatch(r"(london_\d+|portrait_(?:fe)?male_\d+)(?:_\d+)?", path.stem):
            painted.setdefault(match[1], []).append(path)
    for tem in sorted(photos.rglob("*.tem")):
        by_hand = bool(re.fullmatch(r"\d{3}_\d\d", tem.stem))
        person = f"london_{tem.stem[:3]}" if by_hand else f"portrait_{tem.parent.name}_{tem.stem}"
        bare = next((p for p in sorted(tem.parent.glob(tem.stem + ".*")) if p.suffix.lower() in SUFFIXES), None)
        if bare is None or is_test_person(person) != test_people:
            continue
        rgb, points = open_photo(bare), read_tem(tem)
        size = np.array(rgb.shape[1::-1])
        if (points < 0).any() or (points >= size).any():
            continue  # a wrong estimate
        samples.append(make_sample(rgb, points, by_hand))
        for picture in map(open_photo, sorted(painted.get(person, []))):
            scale = np.array(picture.shape[1::-1]) / size
            samples.append(make_sample(picture, (points + 0.5) * scale - 0.5, by_hand))
    return samples


def read_tem(path: Path) -> np.ndarray:
    """The points (189, 2) float64 of a `.tem` file, in pixels. Raises DragFaceError for another format."""
    try:
        words = path.read_text().split()
        return np.array(words[1 : 1 + 2 * int(words[0])], np.float64).reshape(POINTS, 2)
    except (OSError, ValueError, IndexError) as error:
        raise DragFaceError(f"{path} is not a .tem file of {POINTS} landmarks: leave it out.") from error


def is_test_person(person: str) -> bool:
    """Whether someone is never trained on: one London person in six, one portrait in five."""
    number = int(re.search(r"\d+$", person)[0])
    return number % 6 == 1 if person.startswith("london") else number % 5 == 0


def make_sample(rgb: np.ndarray, points: np.ndarray, by_hand: bool) -> Sample:
    """Cut the canvas around a face with landmarks (189, 2), in pixels of the photo (H, W, 3) uint8."""
    weights = np.full(POINTS, 1.0 if by_hand else 0.2, np.float32)
    weights[:44] = 3.0 if by_hand else 1.4
    weights[87:109] = 5.0 if by_hand else 1.0
    weights[:2] = 12.0  # the pupils decide the alignment
    matrix = similarity(points, CANVAS, CANVAS_EYES)
    return Sample(crop_face(rgb, matrix, CANVAS), apply(matrix, points), weights / 3, by_hand)


def pictures_without_faces() -> list[np.ndarray]:
    folder = Path(skimage.data.__file__).parent
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    pictures = [open_photo(path) for path in paths if path.stem.split("_")[0] in NO_FACES]
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    flat = np.full((2, 16, 16, 3), [[[[230, 225, 220]]], [[[20, 20, 25]]]], np.uint8)
    return [*pictures, *noise, *flat]


def new_network(samples: list[Sample], rng: np.random.Generator) -> LandmarkNetwork:
    """An untrained network that knows the mean face, its principal components and its mirror image."""
    shapes = np.stack([to_shape(sample.points) for sample in samples])
    mirror = read_network(WEIGHTS).mirror.numpy()  # numbers of points, which no training changes
    mean, basis = shape_basis(shapes, mirror, rng)
    network = LandmarkNetwork(len(basis))
    for buffer, values in ((network.mirror, mirror), (network.mean, mean), (network.basis, basis)):
        buffer.copy_(torch.from_numpy(values))
    torch.nn.init.normal_(network.coefficients.weight, std=0.01)
    torch.nn.init.zeros_(network.coefficients.bias)
    return network


def to_shape(points: np.ndarray) -> np.ndarray:
    """Points (189, 2), turned level, in units of the crop about the middle between the pupils."""
    eyes = np.array([[-EYE_DISTANCE / 2, 0], [EYE_DISTANCE / 2, 0]])
    return apply(similarity(points, 1, eyes + 0.5), points)


def shape_basis(shapes: np.ndarray, mirror: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean (189, 2) and basis (components, 189, 2) of shapes (N, 189, 2), for coefficients near 1."""
    both = np.concatenate([shapes, shapes[:, mirror] * [-1, 1]])
    sheared = [to_shape(shape @ random_shear(rng).T) for shape in both for _ in range(3)]
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


def draw_batch(
    samples: list[Sample], mirror: np.ndarray, backgrounds: list[np.ndarray], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops (B, 3, 128, 128), of which the first are faces, with points (N, 189, 2) and weights (N, 189)."""
    chosen = rng.choice(len(samples), FACES_A_BATCH + OTHERS_A_BATCH, p=chances(samples))
    faces = [draw_face(samples[i], mirror, backgrounds, rng) for i in chosen[:FACES_A_BATCH]]
    crops, points, weights = zip(*faces, strict=True)
    others = [draw_no_face(samples[i], backgrounds, rng) for i in chosen[FACES_A_BATCH:]]
    inputs = to_input(torch.from_numpy(np.stack([*crops, *others])))
    return inputs, *(torch.from_numpy(np.stack(values).astype(np.float32)) for values in (points, weights))


def chances(samples: list[Sample]) -> np.ndarray:
    """How likely each sample is drawn (N,): evenly among those placed by hand, and among the estimates."""
    by_hand = np.array([sample.by_hand for sample in samples])
    shares = np.where(by_hand, BY_HAND / max(1, by_hand.sum()), (1 - BY_HAND) / max(1, (~by_hand).sum()))
    return shares / shares.sum()


def draw_face(
    sample: Sample, mirror: np.ndarray, backgrounds: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One view of a face: crop (128, 128, 3) uint8, points (189, 2) in units of the crop, weights (189,)."""
    if rng.random() < 0.5:  # as the detectors' boxes show it, measured with YuNet and Haar
        distance, degrees = rng.uniform(0.22, 0.42), np.clip(rng.normal(0, 16), -45, 45)
        centre = np.array([0.5, 0.405]) + rng.normal(0, 0.035, 2)
    else:  # as the network's own last points show it
        distance, degrees = EYE_DISTANCE * np.exp(rng.normal(0, 0.05)), rng.normal(0, 4)
        centre = INPUT_EYES.mean(0) + rng.normal(0, 0.02, 2)
    matrix = view(distance, centre, degrees, random_shear(rng))
    points, weights = apply(matrix, sample.points), sample.weights
    if rng.random() < 0.5:
        matrix = np.array([[-1.0, 0], [0, 1]]) @ matrix + [[0, 0, INPUT_SIZE - 1], [0, 0, 0]]
        points, weights = apply(matrix, sample.points)[mirror], weights[mirror]
    crop = cv2.warpAffine(sample.canvas, matrix, (INPUT_SIZE, INPUT_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.3:
        crop = swap_background(crop, points, draw_background(backgrounds, rng), rng)
    if rng.random() < 0.25:
        crop = cover(crop, draw_background(backgrounds, rng), rng)
    return change_light(crop, rng), (points + 0.5) / INPUT_SIZE, weights


def draw_no_face(sample: Sample, backgrounds: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A crop (128, 128, 3) uint8 of something else, of a part of a face, or of one far off or upside down."""
    kind = rng.integers(4)
    if kind == 0:
        return change_light(draw_background(backgrounds, rng), rng)
    distance, centre, degrees = EYE_DISTANCE, INPUT_EYES.mean(0), rng.normal(0, 10)
    if kind == 1:  # an eye, a mouth, a cheek
        distance, centre = rng.uniform(0.8, 2.0), rng.uniform(-0.6, 1.2, 2)
    elif kind == 2:  # hair, shoulders, background
        angle = rng.uniform(0, 2 * np.pi)
        centre = centre + rng.uniform(0.65, 1.0) * np.array([np.cos(angle), np.sin(angle)])
        distance *= rng.uniform(0.7, 1.3)
    else:  # upside down
        degrees, centre = rng.uniform(110, 250), np.array([0.5, 0.55]) + rng.normal(0, 0.04, 2)
    matrix = view(distance, centre, degrees, random_shear(rng))
    crop = cv2.warpAffine(sample.canvas, matrix, (INPUT_SIZE, INPUT_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    return change_light(crop, rng)


def view(distance: float, centre: np.ndarray, degrees: float, shear: np.ndarray) -> np.ndarray:
    """(2, 3) canvas to crop: pupils `distance` crop widths apart, about `centre`, turned and sheared."""
    angle = np.radians(degrees)
    half = 0.5 * distance * np.array([np.cos(angle), np.sin(angle)])
    source = CANVAS_EYES * CANVAS - 0.5
    linear = shear @ similarity(source, INPUT_SIZE, centre + np.array([-half, half]))[:, :2]
    return np.column_stack([linear, centre * INPUT_SIZE - 0.5 - linear @ source.mean(0)])


def random_shear(rng: np.random.Generator) -> np.ndarray:
    """A (2, 2) matrix near the identity: longer and wider faces, heads a little turned."""
    return np.eye(2) + rng.normal(0, 0.05, (2, 2)).clip(-0.12, 0.12)


def draw_background(backgrounds: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random square of a picture that shows no face, as (128, 128, 3) uint8."""
    picture = backgrounds[rng.integers(len(backgrounds))]
    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(0.2, 1.0))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return cv2.resize(picture[top : top + side, left : left + side], (INPUT_SIZE, INPUT_SIZE))


def change_light(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, colour of light, side light, sharpness and noise; (128, 128, 3) uint8 to the same."""
    if rng.random() < 0.3:
        small = int(INPUT_SIZE * rng.uniform(0.25, 0.9))
        crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (INPUT_SIZE, INPUT_SIZE))
    elif rng.random() < 0.2:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0))
    table = np.linspace(0, 1, 256, dtype=np.float32)[:, None] ** np.exp(rng.normal(0, 0.3))
    table = (table - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.1)
    table = table * np.exp(rng.normal(0, 0.12, 3))
    crop = cv2.LUT(crop, (table * 255).clip(0, 255).astype(np.uint8)[:, None])
    if rng.random() < 0.15:
        crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.3:
        across, down = rng.normal(0, 0.5, 2)
        ramp = np.linspace(-1, 1, INPUT_SIZE, dtype=np.float32)
        light = (1 + across * ramp[None, :, None] + down * ramp[:, None, None]).clip(0.2, 2)
        crop = (crop * light).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal(crop.shape, np.float32) * rng.uniform(2, 18)
        crop = (crop + noise).clip(0, 255).astype(np.uint8)
    return crop


def swap_background(crop: np.ndarray, points: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hull = cv2.convexHull(points.astype(np.float32)).astype(np.int32)
    mask = cv2.fillConvexPoly(np.zeros(crop.shape[:2], np.float32), hull, 1.0)
    mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((5, 5))), (0, 0), rng.uniform(0.5, 3))[..., None]
    return (crop * mask + other * (1 - mask)).astype(np.uint8)


def cover(crop: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay an ellipse of something else over a part: hair, hands, cups, glasses' reflections."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    centre = tuple(int(v) for v in rng.uniform(0, INPUT_SIZE, 2))
    axes = tuple(int(v) for v in rng.uniform(0.04, 0.22, 2) * INPUT_SIZE)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.where(mask[..., None] > 0, other, crop)


def measure(photos: Path) -> None:
    """Print the errors on the London set's test people, in % of the interocular distance."""
    detector, errors = open_detector(), []
    for tem in sorted(photos.rglob("*_03.tem")):
        if is_test_person(f"london_{tem.stem.partition('_')[0]}"):
            truth, photo = read_tem(tem), open_photo(tem.with_suffix(".jpg"))
            points = find_faces(photo, detector)[0].points
            errors.append(np.linalg.norm(points - truth, axis=1) / interocular(truth) * 100)
    print(f"{len(errors)} held-out people; error in % of the interocular distance: mean, worst person")
    for part, points in PARTS.items():
        means = [error[points].mean() for error in errors]
        print(f"  {part}: {np.mean(means):.2f}, {max(means):.2f}")


def draw_sheets(photos: Path, sheets: Path) -> None:
    """Write contact sheets of the points on every portrait and smiling face, to be judged by eye."""
    for folder in ("portraits/female", "portraits/male", "london_smiling"):
        paths = find_photos(photos / folder)
        sheet = contact_sheet([draw_points(open_photo(path)) for path in paths], 8, CELL, [path.stem for path in paths])
        save_photo(sheets / f"{folder.replace('/', '_')}.jpg", sheet, quality=85)


def draw_points(photo: np.ndarray) -> np.ndarray:
    """The aligned face (256, 256, 3) with its contours and pupils; the photo where no face is found."""
    for located in find_faces(photo)[:1]:
        face, points = aligned_face(photo, located.points), apply(similarity(located.points), located.points)
        for line in CONTOURS.values():
            cv2.polylines(face, [points[list(line)].round().astype(np.int32)], False, (0, 255, 0), 1, cv2.LINE_AA)
        for pupil in points[:2].round().astype(int).tolist():
            cv2.circle(face, pupil, 2, (255, 0, 0), -1, cv2.LINE_AA)
        return face
    return photo


if __name__ == "__main__":
    main()
