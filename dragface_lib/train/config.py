"""Every setting of a training, in one flat place, with the reason for its value beside it."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import torch

from ..devices import Precision, world_size
from ..errors import DragFaceError
from ..files import Unavailable, retry, write_atomically
from ..model.generator import SIZES, Form
from ..model.weights import ARCHITECTURE

DiscriminatorInput = Literal["face", "picture"]
COUNTS = ("steps", "batch", "ema_half_life")
INTERVALS = ("save_every", "sample_every", "validate_every", "log_every", "milestone_every")
# Settings of one machine and one call: neither written to config.json nor read from it.
OF_THE_CALL = ("run", "scratch", "session_minutes", "device", "begin_with")
# Changes between two parts of a run: some are refused, some noted in the journal, the rest is silent.
REFUSED = ARCHITECTURE
NOTED = ("steps", "cam_weight", "gain", "discriminator_input", "batch", "lr", "beta1", "beta2", "weight_decay")
NOTED += ("ema_half_life", "seed", "device", "precision", "graph", "deterministic", "diff_augment")
NOTED += ("processes", "threads", "torch", "python", "The faces in selfie/train", "The faces in drag/train")
SILENT = ("faces", "run", "scratch", "session_minutes", "save_minutes", "look", "licence", "begin_with", *INTERVALS)
# The residual form's two values were tuned together on painted faces at 64 and 128 px, never one by one.
CAM_WEIGHTS = {"published": 1000.0, "residual": 10.0}
GAINS = {"published": 1.0, "residual": 2.0}
RISE = 100  # steps, see `generator_rate`
# Each number's lowest and highest value, and the advice for a value outside.
RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(COUNTS + INTERVALS, (1, math.inf, "1 or more")),
    "size": (SIZES[0], SIZES[-1], "a multiple of 4 from 64 to 512, e.g. 256"),
    "channels": (1, 256, "1 to 256, e.g. 64"),
    "blocks": (1, 16, "1 to 16, e.g. 4"),
    "cam_weight": (0, 1e6, "0 or more, e.g. 10"),
    "gain": (1e-6, 100, "a positive number, e.g. 2"),
    "lr": (1e-12, 1, "a small positive number, e.g. 0.0001"),
    **dict.fromkeys(("beta1", "beta2"), (0, 0.99999, "0 or more and less than 1, e.g. 0.5")),
    "weight_decay": (0, 1, "0 or a small positive number, e.g. 0.0001"),
    "seed": (0, 2**63 - 1, "0 or a positive number below 2^63"),
    "save_minutes": (1e-6, 1e6, "a positive number, e.g. 10"),
    "session_minutes": (0, 1e6, "0 or more, e.g. 690"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Raises DragFaceError for a value of another type or out of range, naming it."""

    faces: str  # folder or archive that holds {selfie,drag}/{train,test}
    run: str  # folder for checkpoints, journal, samples and the generator; its name names the run
    steps: int = 10_000  # updates; 300,000 as published; the learning rate falls over the second half
    size: int = 256  # pixels; the faces on disk have 256
    channels: int = 64  # width of the first layer, as published
    blocks: int = 4  # residual blocks on each side of the CAM, as published
    light: bool = True  # the full model needs 10 GiB for weights and Adam alone
    form: Form = "residual"  # keeps person and background; "published" draws the picture anew
    cam_weight: float | None = None  # of the CAM loss; by default 1000 for the published form, 10 for the residual one
    gain: float | None = None  # of each discriminator layer; by default 1 for the published form, 2 for the other
    discriminator_input: DiscriminatorInput = "face"  # "picture", as published, learns wigs and stages as well
    batch: int = 1  # faces of each domain in a step, as published
    lr: float = 1e-4  # learning rate: constant for half of the steps, then linear to zero
    beta1: float = 0.5  # of Adam, as published
    beta2: float = 0.999  # of Adam, as published
    weight_decay: float = 1e-4  # on every parameter, as the PyTorch port does
    ema_half_life: int = 1000  # of the averaged generator, in faces; shorter at the start of a run
    seed: int = 0  # of first weights, order of the faces and their augmentation
    device: str = "auto"  # auto: cuda, mps or cpu, whichever is there
    precision: Precision = "auto"  # auto: bf16 or fp16 on a GPU that computes it natively, else fp32
    graph: bool = True  # replay a GPU's step as one CUDA graph; switch off to look for faults
    deterministic: bool = False  # on a GPU the same bytes each time, for some speed; a CPU's are the same anyway
    diff_augment: bool = False  # discriminators see faces moved and cut; for a few hundred faces or fewer
    scratch: str = ""  # fast local folder to work in where `run` is a slow or unreliable one, such as Drive
    save_every: int = 1000  # steps between checkpoints
    save_minutes: float = 10.0  # minutes between checkpoints: the most that can be lost
    session_minutes: float = 0.0  # saves and stops before these are over, e.g. 690 on Colab; 0: no limit
    sample_every: int = 500  # steps between pictures
    log_every: int = 20  # steps between lines of the journal; reading losses waits for the GPU
    validate_every: int = 2500  # steps between measurements on test faces, by which the best generator is kept
    milestone_every: int = 1000  # steps of the first generator kept for the progression, see `is_milestone`
    look: str = "drag"  # what the generator file calls the style it learned
    licence: str = "that of the training photos"  # what the generator file says about its use
    begin_with: str = ""  # of a new run: classic, goth, a generator file, or a run's folder or checkpoint

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TrainConfig).items():
            value, kinds = getattr(self, name), get_args(kind) or (kind,)  # of a Literal: its choices
            if kinds[0] in (bool, str):
                right, advice = type(value) in kinds, "text in one line" if kind is str else "true or false"
                right = right and (name not in ("look", "licence", "begin_with") or value.isprintable())
            elif isinstance(kinds[0], str):
                right, advice = value in kinds, " or ".join(kinds)
            else:
                low, high, advice = RANGES[name]
                right = type(value) in kinds or (type(value) is int and float in kinds)
                right = right and (value is None or low <= value <= high) and (name != "size" or value in SIZES)
            if not right:
                raise DragFaceError(f"{name} is {value!r}: use {advice}.")

    @property
    def run_folder(self) -> Path:
        """The folder in which the run is trained: `scratch` where there is one."""
        return Path(self.scratch or self.run)

    @property
    def cam_loss_weight(self) -> float:
        """`cam_weight`, or the form's own."""
        return CAM_WEIGHTS[self.form] if self.cam_weight is None else self.cam_weight

    @property
    def discriminator_gain(self) -> float:
        """`gain`, or the form's own."""
        return GAINS[self.form] if self.gain is None else self.gain

    def architecture(self) -> dict[str, Any]:
        """The arguments of the run's generators."""
        return {name: getattr(self, name) for name in ARCHITECTURE}

    def save(self) -> None:
        """Write config.json into the run's folder, without what belongs to one call on one machine."""
        settings = {name: value for name, value in asdict(self).items() if name not in OF_THE_CALL}
        write_atomically(self.run_folder / "config.json", json.dumps(settings, indent=1).encode())

    @classmethod
    def load(cls, run: str | Path) -> TrainConfig:
        """Read RUN/config.json; settings that this version does not know are left out.

        Nothing in the file says where to write. Raises DragFaceError when it is missing or damaged.
        """
        path, kinds = Path(run) / "config.json", get_type_hints(cls)
        try:
            content = json.loads(retry(path.read_bytes, path))
            settings = {name: value for name, value in content.items() if name in kinds.keys() - set(OF_THE_CALL)}
            for name, value in settings.items():
                if kinds[name] is int and isinstance(value, float) and value.is_integer():
                    settings[name] = int(value)  # 2.0 where 2 is meant
            return cls(run=str(run), **settings)
        except Unavailable:
            raise
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, DragFaceError) as error:
            reason = str(error).rstrip(".")
            raise DragFaceError(f"{path} is not a run's configuration ({reason}): mend it, or name a run.") from error


def choose_kernels(deterministic: bool) -> None:
    """Let cuDNN choose the fastest kernels, or only deterministic ones."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.backends.cudnn.benchmark = not deterministic
    torch.use_deterministic_algorithms(deterministic)


def facts_of(config: TrainConfig, device: torch.device, precision: torch.dtype) -> dict[str, Any]:
    """The facts on which an exact resume depends besides the saved state and the faces."""
    facts = {name: value for name, value in asdict(config).items() if name in REFUSED + NOTED}
    facts |= {"device": device.type, "precision": str(precision), "processes": world_size()}
    facts |= {"threads": torch.get_num_threads() if device.type == "cpu" else 0}
    return facts | {"torch": str(torch.__version__), "python": platform.python_version()}  # str: for weights_only


def facts_in(checkpoint: dict[str, Any], run: str) -> dict[str, Any]:
    """The result of `facts_of` when a checkpoint was written. Raises DragFaceError where it is missing."""
    facts = checkpoint.get("facts")
    if not isinstance(facts, dict):
        raise DragFaceError(f"The checkpoint of the run {run} does not say what it was trained with: name another run.")
    return facts


def changes_since(saved: dict[str, Any], now: dict[str, Any], run: str) -> list[str]:
    """A sentence for each fact that makes the resumed run differ from an uninterrupted run.

    Raises DragFaceError where the run has networks of another architecture.
    """
    notes = []
    for name, value in now.items():
        before = saved.get(name)
        if str(before) == str(value):  # as text: a foreign checkpoint may hold anything
            continue
        if name in REFUSED:
            raise DragFaceError(
                f"The run {run} was trained with {name} {before}, not {value}: use that, or name another run."
            )
        was = "have changed since the run began" if name.startswith("The") else f"was {before} and is now {value}"
        notes.append(f"{name} {was}.")
    return notes


def learning_rate(step: int, steps: int, base: float) -> float:
    """Rate of the update number `step` (from 0): base for the first half of `steps`, then linear to zero."""
    return base * min(1.0, max(0, steps - step) / (steps - steps // 2))


def generator_rate(step: int, rate: float) -> float:
    """Rate of generators that begin with trained weights: it rises over RISE steps, while discriminators learn."""
    return rate * min(1.0, (step + 1) / RISE)


def ema_share(step: int, faces_per_step: int, half_life: float) -> float:
    """Share of the newest weights in the averaged generator at the update number `step` (from 0).

    half_life: in faces; shorter at the start, when an average over the whole half-life would hold the first weights.
    """
    faces_seen = (step + 1) * faces_per_step
    return 1 - 0.5 ** (faces_per_step / min(half_life, max(1.0, 0.1 * faces_seen)))


@contextmanager
def memory_explained(config: TrainConfig) -> Iterator[None]:
    """Turns running out of memory into a sentence with the settings to change, in order."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if isinstance(error, RuntimeError) and not re.search("out of memory|can't allocate memory", str(error)):
            raise
        smaller = [f"--batch {config.batch // 2}"] if config.batch > 1 else []
        smaller += [] if config.light else ["--light"]
        smaller += [f"--size {config.size // 8 * 4}"] if config.size >= 128 else []
        smaller += [f"--channels {config.channels // 2}"] if config.channels > 1 else []
        raise DragFaceError(
            f"The memory does not suffice for batch {config.batch}, size {config.size}, channels {config.channels}, "
            f"{'light' if config.light else 'full'}: try {', then '.join(smaller)}."
        ) from error
