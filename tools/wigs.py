"""The wig problem as an experiment: what keeps a generator from painting wigs over hair and background?

    PYTHONPATH=. python tools/wigs.py paint photos/selfie wig_faces data_manifest.csv   # practice faces in wigs
    PYTHONPATH=. python tools/wigs.py train wig_faces wig_runs                          # goes on where it stopped
    PYTHONPATH=. python tools/wigs.py report wig_runs docs/wigs                         # table, curves, pictures

The drag side wears wigs on a stage; the truth of the test pairs does not. Every run is 3,000 steps at 64 px and 16
channels on one CPU core. Every 250 steps the averaged generator is measured on the test people.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.landmarks import OVAL, smoothstep
from dragface_lib.evaluate.validation import Validation
from dragface_lib.files import write_atomically
from dragface_lib.images import contact_sheet, open_photo, save_photo
from dragface_lib.model.generator import Generator, Translation
from dragface_lib.model.norms import LIN, AdaLIN
from dragface_lib.practice import paint, practice_faces
from dragface_lib.practice.canvas import FINER, Canvas, resized, smooth_curve, to_rgb
from dragface_lib.practice.faces import make_up_seed
from dragface_lib.practice.looks import lab_of
from dragface_lib.practice.painting import Painted
from dragface_lib.train.config import TrainConfig
from dragface_lib.train.data import FaceSet, MaskCache, Sampler
from dragface_lib.train.step import Trainer

SIZE, CHANNELS, STEPS, EVERY, SEEDS = 64, 16, 3000, 250, (0, 1)

# Painting wigs and stages. Coordinates and colours are those of `Canvas`.

WORKING = 110.0  # pixels between the pupils at which wig and stage are drawn, at most
HAIR = ("#e8c98a", "#f4e3b8", "#b5381f", "#2a1a14", "#5a2d17", "#e35fa8", "#7d4fc9", "#3f8fd0", "#d8d4da", "#c8541d")
LOCKS = 950
SMALL = 220  # pixels of the longer side at which the person's edge is searched


def paint_faces(photos: Path, faces: Path, manifest: Path) -> None:
    """Make practice faces, then put a wig and a stage on the drag side."""
    for row in practice_faces(photos, faces, manifest):
        if row.status == "kept" and row.domain == "drag":
            photo, seed = open_photo(photos / row.photo), make_up_seed(row.photo, 0)
            face = find_faces(photo)[0]
            painted = paint(photo, face.points, "classic", seed, face.box.turned)
            dressed = dress(painted, face.points, seed)
            save_photo(faces / row.face, aligned_face(dressed, face.points), quality=95)


def dress(painted: Painted, points: np.ndarray, seed: int) -> np.ndarray:
    """The painted photo with a stage behind the person and a wig, drawn by seed at a moderate resolution."""
    photo, rng, points = painted.photo, np.random.default_rng([seed, 11]), np.asarray(points, np.float64)
    scale = min(1.0, WORKING / float(np.linalg.norm(points[1] - points[0])))
    shape = (max(1, round(photo.shape[0] * scale)), max(1, round(photo.shape[1] * scale)))
    canvas = Canvas.of(resized(photo.astype(np.float32) / 255, shape), (points + 0.5) * scale - 0.5)
    face = np.clip(resized(painted.mask, shape), 0, 1)
    kept = np.maximum(person_mask(canvas), face)
    added = stage(canvas, rng) * (1 - kept[..., None])
    cover, lab = wig(canvas, face, rng)
    added = added * (1 - cover[..., None]) + to_rgb(lab) * cover[..., None]
    kept = kept * (1 - cover)
    # The photo's own pixels are kept at their own resolution.
    added, kept = resized(added, photo.shape[:2]), resized(kept, photo.shape[:2])
    return np.clip(np.round(photo * kept[..., None] + 255 * added), 0, 255).astype(np.uint8)


def wig(canvas: Canvas, face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Locks that fall from a parting: their cover (h, w) in 0..1 and colour (h, w, 3) in CIELAB.

    face: (h, w) of 0..1, which stays free.
    """
    p = canvas.points
    colour = np.array(lab_of(HAIR[rng.integers(len(HAIR))]), np.float32)
    jaw, line = float(p[129, 1]), float(p[139, 1])
    long = jaw + rng.uniform(0.3, 2.2)
    volume, curl, wave = rng.uniform(0.55, 0.9), rng.uniform(0.08, 0.2), rng.uniform(5, 11)
    crown_at = min(float(p[151, 1]) - 0.25, line - volume)
    parting = rng.uniform(-0.35, 0.35)
    height, width = canvas.x.shape
    light = np.zeros((height * FINER // 2, width * FINER // 2), np.float32)
    cover = np.zeros_like(light)
    zoom = FINER / 2
    t = np.linspace(0, 1, 41)
    for number in range(LOCKS):
        side = -1 if number % 2 else 1
        depth = number / LOCKS  # the hindmost locks come first, further out and darker
        out = 1 - 0.75 * depth + rng.normal(0, 0.05)
        high = line + (crown_at - line) * (0.12 + 0.88 * out)
        root = np.array([parting + side * rng.uniform(0, 0.10), high + rng.normal(0, 0.02)])
        loose = rng.normal(0, 0.05, 2)
        temple = np.array([side * (0.88 + volume * out + loose[0]), line * 0.30 - 0.1])
        cheek = np.array([side * (0.97 + volume * out * 1.2 + loose[1]), jaw * 0.45])
        end = np.array([side * (0.80 + volume * 1.5 * out + rng.normal(0, 0.12)), long + rng.normal(0, 0.15)])
        crown = np.array([side * (0.50 + 0.2 * out) + parting * 0.4, 0.92 * high + 0.08 * (line * 0.3 - 0.1)])
        path = smooth_curve(np.array([root, crown, temple, cheek, end]), 41)
        loosened = np.clip(3 * (t - 0.22), 0, 1)
        swing = curl * loosened * np.sin(wave * t * 2 + 5 * out + side + rng.normal(0, 0.45))
        path = path + np.stack([swing, 0.35 * swing], 1)
        shine = 0.5 + 0.5 * np.cos(wave * t * 2 + 5 * out) * loosened
        shine = 0.55 * shine + 0.7 * np.exp(-(((t - 0.22) / 0.09) ** 2))
        tone = rng.uniform(0.35, 1.45)
        pixels = np.round(((canvas.pixels(path) + 0.5) * zoom - 0.5) * 16).astype(np.int32)
        thick = max(1, round(canvas.unit * zoom * (0.024 - 0.012 * depth)))
        cv2.polylines(cover, [pixels], False, 1.0, thick, cv2.LINE_AA, 4)
        for n in range(0, len(path) - 2, 2):
            value = float(tone * (0.22 + 0.38 * depth + 0.55 * shine[n + 1]))
            cv2.polylines(light, [pixels[n : n + 3]], False, value, thick, cv2.LINE_AA, 4)
    size = (width, height)
    cover = np.clip(cv2.resize(cover, size, interpolation=cv2.INTER_AREA), 0, 1) * (1 - face)
    light = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    lab = np.empty_like(canvas.lab)
    lab[..., 0] = np.clip(colour[0] * (0.25 + 0.72 * light) + 8 * np.clip(light - 1.05, 0, 1), 2, 97)
    lab[..., 1:] = colour[1:] * np.clip(0.55 + 0.5 * light, 0, 1.1)[..., None]
    return cover, lab


def stage(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) float32 RGB in 0..1: a curtain, spotlights or bokeh all over the canvas."""
    kind, hue = rng.integers(3), float(rng.uniform(0, 360))
    x, y = canvas.x, canvas.y
    if kind == 0:
        return _curtain(x, y, hue, rng)
    low, high = _rgb(hue, 0.55, 0.10), _rgb(hue + 40, 0.7, 0.30)
    light = (low + (high - low) * np.clip((y[..., None] + 2) / 5, 0, 1)).astype(np.float32)
    if kind == 1:
        for _ in range(rng.integers(3, 6)):
            top, lean, open_by = rng.uniform(-3, 3), rng.uniform(-0.5, 0.5), rng.uniform(0.08, 0.2)
            depth = np.maximum(y + 3.6, 0.05)
            off = np.abs(x - top - lean * depth) / (open_by * depth + 0.05)
            beam = np.exp(-(off**3)) * np.exp(-depth / 5.5)
            light += 0.75 * beam[..., None] * _rgb(hue + rng.uniform(-70, 70), 0.45, 1.0)
        return np.clip(1 - np.exp(-1.3 * light), 0, 1).astype(np.float32)
    for _ in range(rng.integers(30, 60)):
        centre, radius = (rng.uniform(-3.4, 3.4), rng.uniform(-3.2, 3.2)), rng.uniform(0.06, 0.32)
        far = np.hypot(x - centre[0], y - centre[1]) / radius
        disc = np.clip((1.06 - far) / 0.14, 0, 1) * (0.7 + 0.3 * np.clip(far, 0, 1) ** 4)
        light += rng.uniform(0.1, 0.5) * disc[..., None] * _rgb(hue + rng.normal(0, 40), 0.5, 1.0)
    return np.clip(1 - np.exp(-1.2 * light), 0, 1).astype(np.float32)


def _curtain(x: np.ndarray, y: np.ndarray, hue: float, rng: np.random.Generator) -> np.ndarray:
    folds = np.zeros(x.shape, np.float32)
    for _ in range(5):
        wave, phase, sway = rng.uniform(3, 13), rng.uniform(0, 7), rng.uniform(-0.12, 0.12)
        folds += np.sin(wave * (x + sway * np.sin(y * rng.uniform(0.4, 1.2))) + phase)
    light = 0.5 + 0.5 * np.tanh(folds * 0.55)
    pool = np.exp(-((x - rng.uniform(-0.8, 0.8)) ** 2 + (y - rng.uniform(-1.5, 0.5)) ** 2) / 5.5)
    value = (0.10 + 0.62 * light**1.6) * (0.35 + 0.75 * pool)
    shade = _rgb(hue, 0.85, 1.0) * value[..., None] + 0.18 * (light**8 * pool)[..., None]
    return np.clip(shade, 0, 1).astype(np.float32)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB (3,) in 0..1 of a hue in degrees."""
    hsv = np.array([[[hue % 360, saturation, value]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def person_mask(canvas: Canvas) -> np.ndarray:
    """(h, w) float32: 1 on head, hair and shoulders, 0 on the background: by landmarks, and colours at the edge."""
    p = canvas.points
    height, width = canvas.x.shape
    scale = min(1.0, SMALL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    jaw, top = float(p[129, 1]), float(p[151, 1])
    angles = np.linspace(0, 2 * np.pi, 60)
    skull = np.stack([1.12 * np.cos(angles), (top + jaw) / 2 + 0.56 * (jaw - top) * np.sin(angles)], 1)
    shapes = (
        [p[list(OVAL)]],
        [np.array([[-0.55, 0.9 * jaw], [0.55, 0.9 * jaw], [0.6, jaw + 0.5], [-0.6, jaw + 0.5]])],
        [np.array([[-1.0, jaw + 0.75], [1.0, jaw + 0.75], [2.2, jaw + 1.4], [2.4, 9], [-2.4, 9], [-2.2, jaw + 1.4]])],
        [skull, smooth_curve(p[145:158], 60)],  # hair and shoulders, where the landmarks only guess
        [np.array([[-1.9, top - 0.5], [1.9, top - 0.5], [3.2, jaw + 1.2], [3.6, 9], [-3.6, 9], [-3.2, jaw + 1.2]])],
    )
    face, neck, body, hair, reach = (
        cv2.resize(canvas.fill(shape), size, interpolation=cv2.INTER_AREA) for shape in shapes
    )
    labels = np.full(size[::-1], cv2.GC_PR_BGD, np.uint8)
    labels[(hair > 0.5) | (body > 0.5)] = cv2.GC_PR_FGD
    labels[reach < 0.5] = cv2.GC_BGD
    labels[(face > 0.7) | (neck > 0.9)] = cv2.GC_FGD
    if (labels == cv2.GC_BGD).any() and (labels == cv2.GC_FGD).any():
        rgb = cv2.cvtColor(cv2.resize(canvas.lab, size, interpolation=cv2.INTER_AREA), cv2.COLOR_LAB2RGB)
        cv2.setRNGSeed(0)  # grabCut starts from random clusters
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut((rgb * 255).astype(np.uint8), labels, (0, 0, 0, 0), *models, 3, cv2.GC_INIT_WITH_MASK)
    person = np.uint8(255) * ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    person = cv2.GaussianBlur(cv2.medianBlur(person, 5).astype(np.float32) / 255, (0, 0), 1.2)
    # A little inside the edge, so that no rim of the old background shines around the hair.
    return smoothstep(0.45, 0.95, cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR))


# The variants that are compared.


def face_ellipse(height: int, width: int) -> Tensor:
    """(1, 1, height, width): 1 where faces usually are on an aligned crop, 0 outside, soft between."""
    y = ((torch.arange(height) + 0.5) / height - 0.56) / 0.36
    x = ((torch.arange(width) + 0.5) / width - 0.5) / 0.26
    return torch.sigmoid((1 - torch.hypot(y[:, None], x[None])) / 0.1)[None, None]


class VaryingAdaLIN(AdaLIN):
    """AdaLIN with one learned rho on the face and another outside, as the article proposed."""

    def __init__(self, channels: int, face: float, outside: float):
        super().__init__(channels)
        nn.init.constant_(self.rho, face)
        self.outside = AdaLIN(channels)
        nn.init.constant_(self.outside.rho, outside)

    def forward(self, features: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """features: (B, C, H, W); gamma, beta: (B, C). Returns (B, C, H, W)."""
        on_face = face_ellipse(*features.shape[2:])
        return on_face * super().forward(features, gamma, beta) + (1 - on_face) * self.outside(features, gamma, beta)


def varying_rho(face: float, outside: float) -> Callable[..., Generator]:
    """Makes generators whose AdaLIN starts with these rhos."""

    def make(**architecture: Any) -> Generator:
        generator = Generator(**architecture)
        for block in generator.decoder:
            block.first_norm, block.second_norm = (VaryingAdaLIN(generator.channels * 4, face, outside) for _ in "12")
        return generator

    return make


def fixed_rho(value: float) -> Callable[..., Generator]:
    """Makes generators with instance (1) or layer normalisation (0) alone."""

    def make(**architecture: Any) -> Generator:
        generator = Generator(**architecture)
        for module in generator.modules():
            if isinstance(module, (AdaLIN, LIN)):
                nn.init.constant_(module.rho, value)
                module.rho.requires_grad_(False)
        return generator

    return make


class AttentionMasked(Generator):
    """The residual form whose change is weighted by the CAM's attention, scaled to 0..1 in each picture."""

    def forward(self, faces: Tensor) -> Translation:
        """The selfie with the weighted change."""
        translation = super().forward(faces)
        low, high = (limit(translation.attention, (2, 3), keepdim=True) for limit in (torch.amin, torch.amax))
        weight = F.interpolate((translation.attention - low) / (high - low + 1e-6), faces.shape[2:], mode="bilinear")
        return translation._replace(image=faces + weight * (translation.image - faces))


class LearnedMask(Generator):
    """The residual form that draws a fourth channel besides: how much of the change counts, by a sigmoid."""

    def __init__(self, **architecture: Any):
        super().__init__(**architecture)
        drawn = nn.Conv2d(self.channels, 4, 7, bias=False)
        with torch.no_grad():
            drawn.weight[:3].mul_(0.02)  # halved by the mask at the start
        self.to_rgb = nn.Sequential(self.to_rgb[0], drawn, _Masked())


class _Masked(nn.Module):
    def forward(self, drawn: Tensor) -> Tensor:
        return drawn[:, :3] * torch.sigmoid(drawn[:, 3:])


@dataclass(frozen=True)
class Variant:
    """How a run differs from U-GAT-IT as published."""

    name: str
    meaning: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    make_generator: Callable[..., Generator] = Generator
    selfies: int | None = None  # trained on so many of them
    people: str = ""  # trained on selfies whose file name holds this


SHOWN = (
    "published",
    "face",
    "rho_instance_face",
    "rho_layer_face",
    "residual",
    "residual_face",
    "residual_face_learned",
)
FACE, RESIDUAL = {"discriminator_input": "face"}, {"form": "residual"}
AGAINST_WIGS = [
    Variant("published", "U-GAT-IT as published"),
    Variant("residual_face", "residual, faces seen (the default)", FACE | RESIDUAL),
    Variant("residual", "residual: the change is added to the selfie", RESIDUAL),
    Variant("face", "faces seen: discriminators see the face alone, a term keeps the rest", FACE),
    Variant("rho_instance_face", "rho: instance on the face, layer outside", {}, varying_rho(0.9, 0.1)),
    Variant("rho_layer_face", "rho: layer on the face, instance outside", {}, varying_rho(0.1, 0.9)),
    Variant("residual_learned", "residual, learned mask on the change", RESIDUAL, LearnedMask),
    Variant("residual_attention", "residual, attention as mask on the change", RESIDUAL, AttentionMasked),
    Variant("residual_face_learned", "residual, faces seen, learned mask", FACE | RESIDUAL, LearnedMask),
    Variant("rho_instance_face_face", "rho: instance on the face, and faces seen", FACE, varying_rho(0.9, 0.1)),
    Variant("rho_layer_face_face", "rho: layer on the face, and faces seen", FACE, varying_rho(0.1, 0.9)),
]
OTHER_QUESTIONS = [  # of the paper and the article
    Variant("instance", "published, instance normalisation only", {}, fixed_rho(1.0)),
    Variant("layer", "published, layer normalisation only", {}, fixed_rho(0.0)),
    Variant("selfies_50", "the default, with 50 selfies of 155", FACE | RESIDUAL, selfies=50),
    Variant("selfies_100", "the default, with 100 selfies of 155", FACE | RESIDUAL, selfies=100),
    Variant("women", "the default, portraits of women alone as selfies", FACE | RESIDUAL, people="female"),
    Variant("men", "the default, portraits of men alone as selfies", FACE | RESIDUAL, people="_male"),
]
VARIANTS = AGAINST_WIGS + OTHER_QUESTIONS
# One balance of the losses for all: the published one.
SETTINGS = {"form": "published", "discriminator_input": "picture", "lr": 2e-4, "cam_weight": 1000.0, "gain": 1.0}
# Those of the runs on record are shown: older runs have an error, newer ones a score.
MEASURES = {
    "makeup": "make-up",
    "truth_error": "error in the face",
    "score": "score",
    "outside": "outside the face, dB",
}

# Training.


def train_all(faces: Path, runs: Path, only: list[str]) -> None:
    """Every variant with every seed, without those that are done."""
    validation = Validation(faces, limit=10_000)
    selfie, drag = (FaceSet(faces, domain, "train", SIZE, MaskCache(faces)) for domain in ("selfie", "drag"))
    for seed in SEEDS:
        for variant in VARIANTS:
            target = runs / f"{variant.name}_{seed}.json"
            if (variant.name in only or not only) and not target.exists():
                run(variant, seed, chosen(selfie, variant), drag, validation, target)


def chosen(faces: FaceSet, variant: Variant) -> FaceSet:
    """The selfies that a variant is trained on."""
    numbers = [n for n, name in enumerate(faces.names) if variant.people in name][: variant.selfies]
    subset = copy.copy(faces)
    subset.names = [faces.names[n] for n in numbers]
    subset.images, subset.masks = faces.images[numbers], faces.masks[numbers]
    return subset


def run(variant: Variant, seed: int, selfie: FaceSet, drag: FaceSet, validation: Validation, target: Path) -> None:
    """Train one variant; write its measures over the steps, and a picture of some portraits at the last step."""
    config = TrainConfig("", "", steps=STEPS, size=SIZE, channels=CHANNELS, seed=seed, **SETTINGS | variant.settings)
    trainer = Trainer(config, torch.device("cpu"), torch.bfloat16, variant.make_generator)
    samplers = [Sampler(faces, SIZE, seed + number) for number, faces in enumerate((selfie, drag))]
    measures: dict[str, list[float]] = {}
    for step in range(STEPS):
        batches = (sampler.batch(step, 1) for sampler in samplers)
        if config.discriminator_input == "picture":
            batches = (batch._replace(masks=None) for batch in batches)
        losses = trainer.step(step, *batches)
        if (step + 1) % EVERY == 0:
            means = validation(trainer.ema)
            for name in [name for name in MEASURES if name in means]:
                measures.setdefault(name, []).append(round(means[name], 3))
            print(f"{target.stem} {step + 1} {losses['generator'].item():.4f}", file=sys.stderr, flush=True)
    made = list(validation.translate(trainer.ema))
    portraits = [n for n, face in enumerate(validation.faces) if "portrait" in face.name][::7][:6]
    save_photo(target.with_suffix(".png"), np.vstack([made[n] for n in portraits]))
    write_atomically(target, json.dumps(measures).encode())


# The report. A record has, by run (variant_seed), each measure at every EVERY-th step.

Record = dict[str, dict[str, list[float]]]


def report(runs: Path, docs: Path) -> None:
    """Write docs/results.json, results.md and curves.png; of runs that are at hand, faces.jpg too.

    Runs on record stay when their files are gone.
    """
    results = docs / "results.json"
    record = json.loads(results.read_text()) if results.exists() else {}
    record |= {path.stem: json.loads(path.read_text()) for path in sorted(runs.glob("*.json"))}
    lines = [f'"{name}": {json.dumps(measures)}' for name, measures in sorted(record.items())]
    write_atomically(results, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    write_atomically(docs / "results.md", (table(record) + "\n").encode())
    curves(record, docs / "curves.png")
    columns = {n: open_photo(path) for n in SHOWN if (path := runs / f"{n}_{SEEDS[0]}.png").exists()}
    if columns:
        rows = zip(*(np.split(column, len(column) // SIZE) for column in columns.values()), strict=True)
        cells = [cell for row in rows for cell in row]
        captions = [name.replace("_", " ") for name in columns] + [""] * (len(cells) - len(columns))
        save_photo(
            docs / "faces.jpg", contact_sheet(cells, columns=len(columns), cell=128, captions=captions), quality=88
        )


def seeds_of(record: Record, variant: Variant) -> list[dict[str, list[float]]]:
    """The runs of a variant, a seed each."""
    return [record[name] for seed in SEEDS if (name := f"{variant.name}_{seed}") in record]


def aims(record: Record) -> dict[str, float]:
    """95 % of the strongest make-up of the published form, and its least error or best score."""
    published = seeds_of(record, VARIANTS[0])
    aim = {"makeup": 0.95 * max(max(run["makeup"]) for run in published)}
    if "truth_error" in published[0]:
        aim["truth_error"] = min(min(run["truth_error"]) for run in published)
    if "score" in published[0]:
        aim["score"] = max(max(run["score"]) for run in published)
    return aim


def written(name: str, value: float) -> str:
    """A measure in a table."""
    return f"{value:.2f}" if name == "score" else f"{value:.1f}"


def table(record: Record) -> str:
    """Means at the last step, a value a seed; and dB outside the face at the first step that reaches an aim."""
    aim, shown = aims(record), seeds_of(record, VARIANTS[0])[0].keys()
    titles = [title for name, title in MEASURES.items() if name in shown]
    titles += [f"dB once {MEASURES[name]} is {written(name, value)}" for name, value in aim.items()]
    lines = [f"| variant | seeds | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
    for variant in VARIANTS:
        runs = seeds_of(record, variant)
        cells = [
            " / ".join(written(name, run[name][-1]) if name in run else "–" for run in runs)
            for name in MEASURES
            if name in shown
        ]
        for name, goal in aim.items():
            sign = -1 if name == "truth_error" else 1
            reached = []
            for run in runs:
                values = run.get(name, [])
                step = next((n for n, value in enumerate(values) if sign * (value - goal) >= 0), None)
                when = "never" if step is None else f"{run['outside'][step]:.1f} (step {(step + 1) * EVERY:,})"
                reached.append(when)
            cells.append(" / ".join(reached))
        if runs:
            lines.append(f"| {variant.meaning} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(record: Record, path: Path) -> None:
    """Plot the measures over the steps: a row for wigs, a row for the other questions beside published and default."""
    aim = aims(record)
    titles = {
        "makeup": "make-up on lips and lids (CIELAB)",
        "outside": "outside the face, against the selfie (dB)",
        "truth_error": "in the face, against the truth (CIELAB)",
        "score": "score: 1 the truth, 0 the selfie",
    }
    titles = {name: title for name, title in titles.items() if name in seeds_of(record, VARIANTS[0])[0]}
    figure = plt.figure(figsize=(15, 11), layout="constrained")
    palette = plt.get_cmap("tab20").colors
    rows = (AGAINST_WIGS, VARIANTS[:2] + OTHER_QUESTIONS)
    for part, variants in zip(figure.subfigures(2, 1), rows, strict=True):
        axes = part.subplots(1, len(titles))
        for axis, (name, title) in zip(axes, titles.items(), strict=True):
            for variant, colour in zip(variants, palette[::2] + palette[1::2], strict=False):
                for number, run in enumerate(seeds_of(record, variant)):
                    values = run.get(name, [])
                    steps = [(n + 1) * EVERY for n in range(len(values))]
                    axis.plot(steps, values, color=colour, label=None if number else variant.meaning)
            if name in aim:
                axis.axhline(aim[name], color="grey", linestyle=":")
            axis.set(title=title, xlabel="step")
        part.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="The wig problem, as an experiment.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what, folders in (
        ("paint", "make practice faces that wear wigs on a stage", ("photos", "faces", "manifest")),
        ("train", "train the runs that are missing", ("faces", "runs")),
        ("report", "tabulate and draw the runs", ("runs", "docs")),
    ):
        sub = commands.add_parser(name, help=what)
        for folder in folders:
            sub.add_argument(folder, type=Path)
        if name == "train":
            sub.add_argument("--only", nargs="*", default=[], metavar="VARIANT", help="a few of the variants")
    options = parser.parse_args(arguments)
    if options.command == "paint":
        paint_faces(options.photos, options.faces, options.manifest)
    elif options.command == "train":
        torch.set_num_threads(1)  # so small networks gain nothing from a second thread
        train_all(options.faces, options.runs, options.only)
    else:
        report(options.runs, options.docs)


if __name__ == "__main__":
    main(sys.argv[1:])
