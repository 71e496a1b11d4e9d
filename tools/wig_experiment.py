"""The wig problem, as an experiment: what keeps a generator from painting wigs and stages over hair and background?

    python -m dragface_lib practice --photos photos/selfie -o wig_faces --manifest data_manifest.csv --wigs --stages
    PYTHONPATH=. python tools/wig_experiment.py train wig_faces wig_runs     # may be stopped, and started twice at once
    PYTHONPATH=. python tools/wig_experiment.py report wig_faces wig_runs docs/wigs

Every run is 3,000 steps at 64 px and 16 channels on practice faces whose drag side wears wigs on a stage. Every 250
steps the averaged generator translates the test people; those pictures and the CAM's logits are what is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dragface_lib.evaluate.validation import Validation
from dragface_lib.files import write_atomically
from dragface_lib.images import contact_sheet, save_photo
from dragface_lib.model.generator import Generator
from dragface_lib.model.norms import LIN, AdaLIN, mixed_affine
from dragface_lib.model.tensors import to_bytes, to_unit
from dragface_lib.train.config import TrainConfig
from dragface_lib.train.data import FaceSet, Sampler
from dragface_lib.train.step import Trainer

SIZE, CHANNELS, STEPS, EVERY, SEEDS = 64, 16, 3000, 250, (0, 1)
FACE_CENTRE, FACE_RADII = (0.5, 0.56), (0.26, 0.36)  # where the face of an aligned crop is, in parts of its side


def face_ellipse(height: int, width: int) -> Tensor:
    """(1, 1, height, width): 1 where faces usually are on an aligned crop, 0 outside, soft between."""
    y = (torch.arange(height) + 0.5) / height - FACE_CENTRE[1]
    x = (torch.arange(width) + 0.5) / width - FACE_CENTRE[0]
    radius = torch.hypot(y[:, None] / FACE_RADII[1], x[None] / FACE_RADII[0])
    return torch.sigmoid((1 - radius) / 0.1)[None, None]


class VaryingAdaLIN(AdaLIN):
    """AdaLIN with one rho on the face and another outside, as the article proposed; both are learned."""

    def __init__(self, channels: int, face: float, outside: float):
        super().__init__(channels)
        nn.init.constant_(self.rho, face)
        self.outside = AdaLIN(channels)
        nn.init.constant_(self.outside.rho, outside)

    def forward(self, features: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """features: (B, C, H, W); gamma, beta: (B, C). Returns (B, C, H, W)."""
        on_face = face_ellipse(*features.shape[2:])
        inner, outer = (mixed_affine(features, rho, gamma, beta) for rho in (self.rho, self.outside.rho))
        scale, shift = (
            (on_face * one[:, :, None, None] + (1 - on_face) * other[:, :, None, None]).to(features.dtype)
            for one, other in zip(inner, outer, strict=True)
        )
        return torch.addcmul(shift, features, scale)


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

    def compose(self, faces: Tensor, drawn: Tensor, attention: Tensor) -> Tensor:
        """The selfie with the weighted change."""
        low, high = attention.amin((2, 3), keepdim=True), attention.amax((2, 3), keepdim=True)
        weight = (attention - low) / (high - low + 1e-6)
        return (faces + drawn * F.interpolate(weight, faces.shape[2:], mode="bilinear")).clamp(-1, 1)


class LearnedMask(Generator):
    """The residual form that draws a fourth channel besides: how much of the change counts, by a sigmoid."""

    def __init__(self, **architecture: Any):
        super().__init__(**architecture)
        self.to_rgb[1] = nn.Conv2d(self.channels, 4, 7, bias=False)
        with torch.no_grad():
            self.to_rgb[1].weight[:3].mul_(0.02)  # halved by the mask at the start

    def compose(self, faces: Tensor, drawn: Tensor, attention: Tensor) -> Tensor:
        """The selfie with the weighted change."""
        return (faces + drawn[:, :3] * torch.sigmoid(drawn[:, 3:])).clamp(-1, 1)


@dataclass(frozen=True)
class Variant:
    """What a run does otherwise than U-GAT-IT as published."""

    name: str
    meaning: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    make_generator: Callable[..., Generator] = Generator
    selfies: int | None = None  # so many of them
    people: str = ""  # only those whose file name holds this


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


def train_all(faces: Path, runs: Path, only: list[str]) -> None:
    """Every variant with every seed; what is done, or being done by another process, is left out."""
    sets = {domain: FaceSet(faces, domain, "train", SIZE, with_masks=True) for domain in ("selfie", "drag")}
    test = FaceSet(faces, "pairs", "selfie", SIZE)
    for seed in SEEDS:
        for variant in VARIANTS:
            target = runs / f"{variant.name}_{seed}.npz"
            if (only and variant.name not in only) or target.exists():
                continue
            claim = target.with_suffix(f".{os.getpid()}.running")
            if _is_running(target):
                continue
            claim.parent.mkdir(parents=True, exist_ok=True)
            claim.touch()
            try:
                run(variant, seed, sets, test, target)
            finally:
                claim.unlink()


def _is_running(target: Path) -> bool:
    for claim in target.parent.glob(f"{target.stem}.*.running"):
        with suppress(ProcessLookupError):
            os.kill(int(claim.suffixes[-2][1:]), 0)
            return True
    return False


def run(variant: Variant, seed: int, sets: dict[str, FaceSet], test: FaceSet, target: Path) -> None:
    """Train one variant and write what it made of the test people over the steps."""
    # One balance of the losses for all, the published one, so that variants differ in what is asked alone.
    settings = {
        "form": "published",
        "discriminator_input": "picture",
        "lr": 2e-4,
        "cam_weight": 1000.0,
        "gain": 1.0,
    } | variant.settings
    config = TrainConfig("", "", steps=STEPS, size=SIZE, channels=CHANNELS, seed=seed, **settings)
    trainer = Trainer(config, torch.device("cpu"), torch.bfloat16, variant.make_generator)
    samplers = []
    for number, (domain, faces) in enumerate(sets.items()):
        chosen = [n for n, name in enumerate(faces.names) if domain == "drag" or variant.people in name]
        chosen = chosen[: variant.selfies if domain == "selfie" else None]
        masks = faces.masks[chosen] if config.discriminator_input == "face" else None
        samplers.append(Sampler(_Chosen(faces.images[chosen], masks), SIZE, seed + number))
    pictures, losses = [], []
    for step in range(STEPS):
        found = trainer.step(step, *(sampler.batch(step, 1) for sampler in samplers))
        if (step + 1) % EVERY == 0:
            with torch.inference_mode():
                made = trainer.ema(to_unit(test.images))
            pictures.append(to_bytes(made.image))
            losses.append({name: round(value.item(), 4) for name, value in found.items()})
            print(f"{target.stem} {step + 1} {losses[-1]['generator']}", file=sys.stderr, flush=True)
    described = {"variant": variant.name, "seed": seed, "selfies": len(samplers[0].images), "losses": losses}
    content = {"pictures": np.stack(pictures), "described": json.dumps(described)}
    partial = target.with_suffix(".part.npz")
    np.savez_compressed(partial, **content)
    partial.replace(target)


@dataclass(frozen=True)
class _Chosen:
    """As much of a FaceSet as a Sampler asks for."""

    images: Tensor
    masks: Tensor | None


def measured(faces: Path, runs: Path, results: Path) -> dict[str, dict[str, Any]]:
    """The measures of every run over its steps, by run; those on record in `results` are kept, new ones added to it."""
    record = json.loads(results.read_text()) if results.exists() else {}
    validation = None
    for path in sorted(runs.glob("*_[0-9].npz")):
        if path.stem in record:
            continue
        validation = validation or Validation(faces, SIZE, limit=10_000)
        content = np.load(path)
        names = FaceSet(faces, "pairs", "selfie", SIZE).names
        places = [names.index(face.name) for face in validation.faces]
        rows = []
        for number, pictures in enumerate(content["pictures"]):
            found = [validation.measure(f, pictures[place]) for f, place in zip(validation.faces, places, strict=True)]
            means = {name: round(float(np.mean([row[name] for row in found])), 3) for name in found[0]}
            rows.append({"step": (number + 1) * EVERY} | means)
        record[path.stem] = json.loads(str(content["described"])) | {"rows": rows}
    write_atomically(results, (json.dumps(record, indent=1) + "\n").encode())
    return record


def report(faces: Path, runs: Path, docs: Path) -> None:
    """Write docs/results.json, results.md, curves.png, and, of runs that are at hand, faces.jpg."""
    docs.mkdir(parents=True, exist_ok=True)
    groups, makeup, error = summed_up(measured(faces, runs, docs / "results.json"))
    write_atomically(docs / "results.md", (table(groups, makeup, error) + "\n").encode())
    curves(groups, makeup, error, docs / "curves.png")
    pictures(faces, runs, [variant for variant in groups if variant.name in SHOWN], docs / "faces.jpg")


def summed_up(record: dict[str, dict[str, Any]]) -> tuple[dict[Variant, list[dict[str, Any]]], float, float]:
    """The runs of each variant; 95 % of the strongest make-up of the published form, and its least error."""
    groups = {v: [r for r in record.values() if r["variant"] == v.name] for v in VARIANTS}
    published = [row for run in groups[VARIANTS[0]] for row in run["rows"]]
    makeup, error = 0.95 * max(row["makeup"] for row in published), min(row["truth_error"] for row in published)
    return {variant: found for variant, found in groups.items() if found}, makeup, error


def table(groups: dict[Variant, list[dict[str, Any]]], makeup: float, error: float) -> str:
    """The last step's means, a value a seed, and outside the face at the first step with so much make-up, or so near
    to the truth, as the published form comes.
    """
    lines = [
        "| variant | seeds | make-up | error in the face | outside the face, dB "
        f"| dB once make-up is {makeup:.1f} | dB once the error is {error:.1f} |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, found in groups.items():
        last = [run["rows"][-1] for run in found]
        cells = [" / ".join(f"{row[name]:.1f}" for row in last) for name in ("makeup", "truth_error", "background_db")]
        for name, sign, aim in (("makeup", 1, makeup), ("truth_error", -1, error)):
            reached = [next((row for row in run["rows"] if sign * (row[name] - aim) >= 0), None) for run in found]
            cells.append(
                " / ".join(f"{row['background_db']:.1f} (step {row['step']:,})" if row else "never" for row in reached)
            )
        lines.append(f"| {variant.meaning} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(groups: dict[Variant, list[dict[str, Any]]], makeup: float, error: float, path: Path) -> None:
    """Make-up, background and error over the steps: does the one get worse as the other gets better? A row of plots
    for what is to keep the background, and one for the other questions beside published and default.
    """
    measures = (
        ("makeup", "make-up on lips and lids (CIELAB)", makeup),
        ("background_db", "outside the face, against the selfie (dB)", None),
        ("truth_error", "in the face, against the truth (CIELAB)", error),
    )
    figure = plt.figure(figsize=(15, 11), layout="constrained")
    palette = plt.get_cmap("tab20").colors
    for part, asked in zip(figure.subfigures(2, 1), (AGAINST_WIGS, OTHER_QUESTIONS), strict=True):
        shown = [variant for variant in groups if variant in [*VARIANTS[:2], *asked]]
        axes = part.subplots(1, 3)
        for axis, (name, title, aim) in zip(axes, measures, strict=True):
            for variant, colour in zip(shown, palette[::2] + palette[1::2], strict=False):
                for run in groups[variant]:
                    steps, values = [one["step"] for one in run["rows"]], [one[name] for one in run["rows"]]
                    axis.plot(steps, values, color=colour, label=variant.meaning if run is groups[variant][0] else None)
            if aim is not None:
                axis.axhline(aim, color="grey", linestyle=":")
            axis.set(title=title, xlabel="step")
        part.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def pictures(faces: Path, runs: Path, variants: list[Variant], path: Path) -> None:
    """What the variants made of some test portraits at the last step: a column each; these portraits show nobody."""
    names = FaceSet(faces, "pairs", "selfie", SIZE).names
    shown = [n for n, name in enumerate(names) if "portrait" in name][::7][:6]
    made = {
        v: np.load(runs / f"{v.name}_0.npz")["pictures"][-1] for v in variants if (runs / f"{v.name}_0.npz").exists()
    }
    if made:
        cells = [pictures[n] for n in shown for pictures in made.values()]
        captions = [variant.name.replace("_", " ") for variant in made] + [""] * (len(cells) - len(made))
        save_photo(path, contact_sheet(cells, columns=len(made), cell=128, captions=captions), quality=88)


def main(arguments: list[str]) -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="The wig problem, as an experiment.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("train", "train what is missing"), ("report", "measure, tabulate and draw what there is")):
        sub = commands.add_parser(name, help=what)
        sub.add_argument("faces", type=Path, help="practice faces with wigs and stages")
        sub.add_argument("runs", type=Path, help="folder for the runs")
        if name == "train":
            sub.add_argument("--only", nargs="*", default=[], metavar="VARIANT", help="a few of the variants")
        else:
            sub.add_argument("docs", type=Path, help="folder for tables and pictures")
    options = parser.parse_args(arguments)
    if options.command == "train":
        torch.set_num_threads(1)  # start it twice for two cores: so small networks gain nothing from a second thread
        train_all(options.faces, options.runs, options.only)
    else:
        report(options.faces, options.runs, options.docs)


if __name__ == "__main__":
    main(sys.argv[1:])
