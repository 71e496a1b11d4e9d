"""What a run begins with: the settings of 03_train, and a new run's first weights where `begin_with` names some.

A starter's look, a generator file, a run's folder or checkpoint, or a checkpoint of UGATIT-pytorch. A run brings both
generators, and of the discriminators those that fit; a checkpoint of UGATIT-pytorch brings both generators.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..archives import PAIRS, read_faces
from ..devices import choose_device
from ..errors import DragFaceError
from ..files import kind_of, sha256_of
from ..model.generator import START_OF_CHANGE
from ..model.weights import ARCHITECTURE, generator_path, load_generator, starter_looks
from ..session import Workspace, sized
from .config import TrainConfig, facts_in
from .saving import checkpoints, is_whole
from .step import Trainer

ORIGIN = ("begun_with", "begun_with_sha256", "begun_with_licence")  # of a generator file's metadata


def notebook_config(
    space: Workspace, run: str, steps: int, size: int, session_hours: float, begin_with: str = "starter"
) -> TrainConfig:
    """What 03_train trains: as asked for where there is a GPU.

    A CPU gets a small run with a name of its own. It takes half an hour on two cores and paints eyes and lips.
    begin_with: see TrainConfig; "nothing"; or "starter": faces of your own then begin with classic, at the size that it
    was taught at. On practice faces, painted like its own, it would have nothing to learn.
    """
    channels = 64
    if choose_device("auto").type == "cpu":
        run, steps, size, channels = f"{run}-cpu", min(steps, 1000), min(size, 128), 32
    faces = space.faces_archive if kind_of(space.faces_archive) else space.faces  # Drive reads one file fast
    scratch = str(space.scratch / "runs" / run) if space.on_colab else ""
    tiny = {"steps": 6, "size": 64, "channels": 4, "save_every": 3, "sample_every": 3, "validate_every": 3}
    settings: dict[str, Any] = {"steps": steps, "size": size, "channels": channels} | sized(real={}, smoke=tiny)
    if begin_with == "starter":
        begin_with = "classic" if (settings["size"], settings["channels"]) == (256, 64) else "nothing"
        with suppress(DragFaceError):  # faces that cannot be read: training says so
            begin_with = "nothing" if any(read_faces(faces, PAIRS, "drag")) else begin_with
    settings["begin_with"] = "" if begin_with == "nothing" else begin_with
    return TrainConfig(
        str(faces), str(space.runs / run), scratch=scratch, session_minutes=60 * session_hours, **settings
    )


def load_beginning(trainer: Trainer) -> str:
    """Give the trainer's networks the weights that `begin_with` names, and return a sentence about it.

    `trainer.begun_with` then holds what a generator file says of it: name, hash and licence. Raises DragFaceError where
    there is no such look or file, it is damaged, or its generator is built otherwise than the run's.
    """
    name = trainer.config.begin_with
    path = _newest_of(Path(name)) if name not in starter_looks() and os.path.isdir(name) else generator_path(name)
    states, architecture, licence = _read(path)
    for setting in ARCHITECTURE:
        theirs, ours = architecture.get(setting), getattr(trainer.config, setting)
        any_size = setting == "size" and trainer.config.light  # a light generator fits faces of any size
        if str(theirs) != str(ours) and not any_size:
            raise DragFaceError(
                f"{path} has {setting} {theirs} and the run {ours}: set {setting} to {theirs}, or begin with another."
            )
    targets = dict(trainer.networks.named_children()) | {"average": trainer.ema}
    begun = [target for target in targets if _take_up(targets[target], states.get(target))]
    if not {"selfie_to_drag", "average"} <= set(begun):
        raise DragFaceError(f"{path} is damaged: its weights do not fit. Copy it again, or begin with another.")
    if "drag_to_selfie" not in begun and trainer.config.form == "residual":
        # The way back knows faces from the start, and changes next to nothing.
        way_back = trainer.networks.drag_to_selfie
        way_back.load_state_dict(trainer.networks.selfie_to_drag.state_dict())
        with torch.no_grad():
            way_back.to_rgb.get_parameter("1.weight").mul_(START_OF_CHANGE)
    trainer.begun_with = dict(zip(ORIGIN, (Path(name).name, sha256_of(path), licence), strict=True))
    size = architecture.get("size")
    hint = "" if size == trainer.config.size else f" It was taught at {size} px: at another size it helps less."
    return f"The run begins with {Path(name).name} ({', '.join(begun)}; licence: {licence}).{hint}"


def origin_in(checkpoint: dict[str, Any]) -> dict[str, str]:
    """What a run began with, by its checkpoint; empty where that was nothing."""
    saved = checkpoint.get("begun_with")
    return {name: str(saved[name]) for name in ORIGIN} if isinstance(saved, dict) and set(ORIGIN) <= set(saved) else {}


def licence_of(trainer: Trainer) -> str:
    """The licence of the run's generator: its own, and that of what the run began with."""
    both = "{}; begun with {begun_with}: {begun_with_licence}" if trainer.begun_with else "{}"
    return both.format(trainer.config.licence, **trainer.begun_with)


def checkpoint_of(trainer: Trainer, facts: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint besides its step."""
    state = {"facts": facts, "state": trainer.state()}
    return state | {"begun_with": trainer.begun_with, "licence": licence_of(trainer)}


def _newest_of(run: Path) -> Path:
    """The newest whole checkpoint of a run, or its generator."""
    whole = [path for path in checkpoints(run / "checkpoints") if is_whole(path)]
    return whole[0] if whole else run / "generator.safetensors"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Weights by network (`average`: of the moving average), the generator's architecture, and its licence."""
    content: Any = None
    if os.path.isfile(path) and is_whole(path):
        with suppress(Exception):  # damaged pickles fail in every way there is; `load_generator` then says so
            content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict) and "state" in content:
        return _of_checkpoint(content, path)
    generator = load_generator(path)
    states = {"selfie_to_drag": generator.state_dict(), "average": generator.state_dict()}
    if isinstance(content, dict) and "genB2A" in content:
        states["drag_to_selfie"] = load_generator(path, "drag_to_selfie").state_dict()
    return states, {name: getattr(generator, name) for name in ARCHITECTURE}, generator.metadata["licence"]


def _of_checkpoint(content: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The same of a checkpoint of ours."""
    state = content["state"] if isinstance(content["state"], dict) else {}
    states: dict[str, Any] = {"average": state.get("ema")}
    for key, tensor in dict(state.get("networks") or {}).items():
        network, _, parameter = str(key).partition(".")
        states.setdefault(network, {})[parameter] = tensor
    return states, facts_in(content, str(path)), str(content.get("licence", "unknown"))


def _take_up(network: torch.nn.Module, state: Any) -> bool:
    """Load the weights, where each has the shape of the network's own."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    fits = (
        isinstance(state, dict) and {name: getattr(tensor, "shape", None) for name, tensor in state.items()} == shapes
    )
    if fits:
        network.load_state_dict(state)
    return fits
