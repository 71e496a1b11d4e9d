"""Generator files: our own .safetensors, and the .pt checkpoints of UGATIT-pytorch and the first DragFace.

    generator = load_generator("runs/mine/generator.safetensors")
    image, cam_logits, attention = generator(faces)
    generator = load_look("goth")                           a starter, or a file, on the GPU where there is one
    for name, path in find_looks("runs").items(): ...       what there is to choose from

A .safetensors file holds one generator and, in its metadata, everything needed to rebuild and use it.
Nothing here unpickles code: foreign checkpoints are read with weights_only=True.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..devices import choose_device
from ..errors import DragFaceError, printable
from ..files import numbered, write_atomically
from .generator import Generator

Direction = Literal["selfie_to_drag", "drag_to_selfie"]
FORMAT = "dragface-generator-1"
STARTERS = Path(__file__).with_name("starters")
# What networks are built from; a run of other values cannot be resumed.
ARCHITECTURE = ("size", "channels", "blocks", "light", "form")
PUBLISHED_SIZE = 256  # a light checkpoint does not say its size; this is the port's default
ENTRY = {"selfie_to_drag": "genA2B", "drag_to_selfie": "genB2A"}


def starter_looks() -> list[str]:
    """The looks of the generators that come with the library."""
    return sorted(path.stem for path in STARTERS.glob("*.safetensors"))


def starter_path(look: str = "classic") -> Path:
    """The file of the generator of this look that comes with the library. Raises DragFaceError when there is none."""
    if look not in starter_looks():
        looks = " or ".join(starter_looks())
        raise DragFaceError(f"There is no look called {look}: choose {looks}, or name a generator file.")
    return STARTERS / f"{look}.safetensors"


def generator_path(look: str | Path) -> Path:
    """The file of a look: a starter's name ("classic", "goth"), or a file itself. Raises DragFaceError for neither."""
    is_file = isinstance(look, Path) or Path(look).suffix or os.path.isfile(look)
    return Path(look) if is_file else starter_path(str(look))


def load_look(look: str | Path, size: int | None = None) -> Generator:
    """A generator on the GPU where there is one; look: see `generator_path`. Raises what `load_generator` raises."""
    return load_generator(generator_path(look), device=choose_device("auto"), size=size)


def find_looks(runs: str | Path | None = None) -> dict[str, Path]:
    """Names and files of the looks: the starters, then the generators of a folder of runs, the newest run first.

    Of a run: its newest generator, the best on test faces, and the milestones, latest first.
    """
    looks = {look: starter_path(look) for look in starter_looks()}
    newest = list(Path(runs).glob("*/generator.safetensors")) if runs else []
    for path in sorted(newest, key=lambda path: path.stat().st_mtime, reverse=True):
        run = path.parent
        looks[f"{run.name}, newest"] = path
        looks |= {f"{run.name}, best on test faces": best for best in run.glob("best.safetensors")}
        kept = numbered(run / "milestones", ".safetensors")
        looks |= {f"{run.name}, step {step:,}": kept[step] for step in reversed(kept)}
    return looks


def newest_generator(runs: str | Path) -> Path:
    """The generator of the run that was trained last, or the starter where there is no run yet."""
    files = Path(runs).glob("*/generator.safetensors")
    return max(files, key=lambda path: path.stat().st_mtime, default=None) or starter_path()


def save_generator(generator: Generator, path: str | Path, metadata: dict[str, Any], half: bool = False) -> None:
    """Write a generator atomically; the same weights and metadata always give the same bytes.

    metadata: what a user of the file needs besides the architecture (direction, look, alignment, steps,
    licence …); values become text. half: store the weights in half precision.
    """
    dtype = torch.float16 if half else torch.float32
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in generator.state_dict().items()}
    described = {"format": FORMAT} | {name: json.dumps(getattr(generator, name)) for name in ARCHITECTURE}
    described |= {name: str(value) for name, value in metadata.items()}
    write_atomically(path, _with_sorted_header(save(state, described)))


def _with_sorted_header(content: bytes) -> bytes:
    """The same safetensors file with its metadata in order: the library writes it in a random one."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the tensors to begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def load_generator(
    path: str | Path,
    direction: Direction = "selfie_to_drag",
    device: str | torch.device = "cpu",
    size: int | None = None,
) -> Generator:
    """Read a generator for use, in evaluation mode; its `.metadata` says what the file says of itself.

    path: a .safetensors file of this project, or a .pt checkpoint of UGATIT-pytorch or the first DragFace
    (full or light; genA2B is selfie_to_drag). size: pixels a side that a light checkpoint of the port was trained
    at, as it does not say so itself (default 256). Raises DragFaceError when the file is missing, damaged,
    holds the other direction or another architecture.
    """
    path = Path(path)
    if direction not in get_args(Direction):
        raise DragFaceError(f"The direction {direction!r} is unknown: choose selfie_to_drag or drag_to_selfie.")
    if not os.path.isfile(path):
        raise DragFaceError(
            f"There is no generator file {path}: check the name, or choose a look: {', '.join(starter_looks())}."
        )
    try:
        if path.suffix.lower() == ".safetensors":
            state, architecture, metadata = _read_safetensors(path, direction)
        else:
            state, architecture, metadata = _read_port_checkpoint(path, direction, size or PUBLISHED_SIZE)
        if size not in (None, architecture["size"]):
            raise _Refused(f"was trained at {architecture['size']} px, not at {size}: leave the size out.")
        with torch.device("meta"):  # no random weights are drawn only to be thrown away
            generator = Generator(**architecture)
        generator.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    except _Refused as error:
        raise DragFaceError(f"{path} {error}") from error.__cause__
    except Exception as error:  # damaged pickles fail in every way there is
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise DragFaceError(
            f"{path} is damaged or of another architecture ({reason[0].strip():.200}): copy it again or choose another."
        ) from error
    unsaid = {"look": path.stem, "licence": "unknown", "steps": "0"}
    generator.metadata = unsaid | metadata | {name: str(value) for name, value in architecture.items()}
    return generator.eval().requires_grad_(False).to(device)


class _Refused(Exception):
    """Why a file is refused, without its name."""


def _read_safetensors(path: Path, direction: Direction) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        metadata = {name: printable(text) for name, text in (file.metadata() or {}).items()}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if metadata.get("format") != FORMAT:
        raise _Refused("is a safetensors file, but not a DragFace generator: choose one written by training.")
    if metadata.get("direction", "selfie_to_drag") != direction:
        raise _Refused(f"translates {metadata['direction']:.40}, not {direction}: choose another file.")
    architecture = {name: json.loads(metadata[name]) for name in ARCHITECTURE}
    if [type(value) for value in architecture.values()] != [int, int, int, bool, str]:
        raise _Refused("does not say in whole numbers what it is built like: choose another file.")
    if not re.fullmatch("[0-9]{1,12}", metadata.get("steps", "0")):
        raise _Refused("does not say in a whole number how many steps it was trained for: choose another file.")
    return state, architecture, metadata


def _read_port_checkpoint(
    path: Path, direction: Direction, light_size: int
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, str]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _Refused("cannot be read safely: it holds more than weights, or is damaged.") from error
    if isinstance(content, dict) and "ema" in content:
        raise _Refused("is what a run goes on training from: choose the generator.safetensors in the run's folder.")
    state = content.get(ENTRY[direction], content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise _Refused(f"has no entry {ENTRY[direction]}: choose a checkpoint of UGATIT-pytorch or DragFace.")
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    architecture = _architecture_of_port(state, light_size)
    return _renamed(state, architecture["blocks"]), architecture, {"direction": direction}


def _architecture_of_port(state: dict[str, Tensor], light_size: int) -> dict[str, Any]:
    channels = state["DownBlock.1.weight"].shape[0]
    blocks = sum(re.fullmatch(r"UpBlock1_\d+\.conv1\.weight", name) is not None for name in state)
    pooled = state["FC.0.weight"].shape[1]
    light = pooled == channels * 4
    size = light_size if light else 4 * math.isqrt(pooled // (channels * 4))
    return {"size": size, "channels": channels, "blocks": blocks, "light": light, "form": "published"}


def _renamed(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The port's weights under this library's names; a name that is not known keeps its own and is refused later.

    The port counts the entries of its Sequentials, where a padding, a norm and a ReLU take a number each.
    """
    names = {
        "DownBlock.1": "stem.1",
        "DownBlock.5": "down.0.1",
        "DownBlock.9": "down.1.1",
        "gap_fc": "cam_average",
        "gmp_fc": "cam_maximum",
        "conv1x1": "cam_mix",
        "FC.0": "style.0",
        "FC.2": "style.2",
        "UpBlock2.2": "up.0.convolution.1",
        "UpBlock2.3": "up.0.norm",
        "UpBlock2.7": "up.1.convolution.1",
        "UpBlock2.8": "up.1.norm",
        "UpBlock2.11": "to_rgb.1",
    }
    for n in range(blocks):
        names[f"DownBlock.{12 + n}.conv_block.1"] = f"encoder.{n}.first.1"
        names[f"DownBlock.{12 + n}.conv_block.5"] = f"encoder.{n}.second.1"
        for number, word in ((1, "first"), (2, "second")):
            names[f"UpBlock1_{n + 1}.conv{number}"] = f"decoder.{n}.{word}.1"
            names[f"UpBlock1_{n + 1}.norm{number}"] = f"decoder.{n}.{word}_norm"
    renamed = {}
    for name, tensor in state.items():
        layer, dot, parameter = name.rpartition(".")
        is_norm = names.get(layer, "").endswith("norm")
        renamed[names.get(layer, layer) + dot + parameter] = tensor.flatten() if is_norm else tensor
    return renamed
