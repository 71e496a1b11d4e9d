"""The training loop: run it again on the same run folder and it goes on where it stopped.

    from dragface_lib.train import TrainConfig, train
    train(TrainConfig(faces="faces", run="runs/first"))

What a run leaves behind: config.json, journal.jsonl, losses.png, samples/, progression.jpg, milestones/,
checkpoints/ and generator.safetensors, the averaged selfie_to_drag generator.
"""

from __future__ import annotations

import math
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import torch
from tqdm.auto import tqdm

from ..crop.align import ALIGNMENT
from ..errors import DragFaceError
from ..files import only_one
from ..images import save_photo
from ..model.weights import save_generator
from .checkpoints import Checkpoints
from .config import ARCHITECTURE, TrainConfig, choose_device, choose_precision, prepare
from .data import DOMAINS, FaceSet, Sampler, load_domains, prefetched
from .journal import Journal, read_journal, save_loss_plot
from .pictures import forget_samples_after, progression, sample_faces, sample_sheet, save_sample
from .step import Trainer, memory_explained

# Settings that may change between two parts of a run without changing what is learned.
INCONSEQUENTIAL = {"faces", "run", "save_every", "sample_every", "log_every", "milestone_every", "look", "licence"}


def train(config: TrainConfig, progress: bool = True) -> bool:
    """Train, or go on with, the run that `config` describes; progress goes to stderr.

    Returns True when all steps are done, False when an interrupt (Ctrl-C, Colab's stop button, SIGTERM) ended
    it early; everything is saved then. Raises DragFaceError when faces are missing, the run folder holds
    another architecture or is being trained by another process, memory or disk do not suffice, or the losses
    are no longer numbers.
    """
    device = choose_device(config.device)
    with memory_explained(config), prepare(config):
        sets = load_domains(config.faces, config.size, with_masks=config.judge == "face")
        with only_one(config.run_folder, "trained"):
            return _train(config, device, sets, progress)


def _train(config: TrainConfig, device: torch.device, sets: dict[tuple[str, str], FaceSet], progress: bool) -> bool:
    say = _Speaker(progress)
    precision = choose_precision(config.precision, device)

    # Sample data.
    samplers = [
        Sampler(sets[domain, "train"], config.size, config.seed + n, config.soften) for n, domain in enumerate(DOMAINS)
    ]

    def draw(step: int) -> list[torch.Tensor]:
        faces = [sampler.batch(step, config.batch) for sampler in samplers]
        return [batch.pin_memory() for batch in faces] if device.type == "cuda" else faces

    fixed = sample_faces(sets["selfie", "test"], sets["selfie", "train"])
    for (domain, split), faces in sets.items():
        say(
            f"{domain}/{split}: {len(faces)} faces"
            + (f", {len(faces.unreadable)} left out" if faces.unreadable else "")
        )

    # Construct networks.
    trainer = Trainer(config, device, precision)

    # Resume.
    checkpoints = Checkpoints(config.run_folder / "checkpoints")
    facts = _facts(config, sets, device, precision)
    saved, notes = checkpoints.newest()
    step, seconds = 0, 0.0
    if saved is not None:
        _require_same_architecture(config, saved["facts"])
        trainer.load_state(saved["state"])
        step, seconds = saved["step"], saved["seconds"]
        notes += _changes(saved["facts"], facts)
        say(f"Going on at step {step:,} of {config.steps:,}.")
    del saved
    config.save()
    journal = Journal(config.run_folder / "journal.jsonl", step)
    forget_samples_after(config.run_folder, step)
    for note in notes:
        say(note)
        journal.add(step, note=note)

    # Train.
    tick = _Tick(device)
    bar = tqdm(total=config.steps, initial=step, desc=config.run_folder.name, unit="step", disable=not progress)
    with bar, _interrupts() as interrupted, closing(prefetched(draw, step)) as batches:
        started = time.perf_counter() - seconds
        last = step >= config.steps
        while not last:
            losses = trainer.step(step, *next(batches))
            step += 1
            bar.update()
            tick.add(losses)
            last = step >= config.steps or interrupted.is_set()

            # Journal.
            if step % config.log_every == 0 or step % config.save_every == 0 or last:
                row = tick.close()
                _require_numbers(row, step, config)
                journal.add(step, **row, lr=trainer.rate)
                bar.set_postfix(G=f"{row['generator']:.1f}", D=f"{row['discriminator']:.2f}")

            # Draw.
            if step % config.sample_every == 0 or last:
                save_sample(config.run_folder, step, sample_sheet(trainer.ema, fixed))
                draw_run(config)

            # Save. The checkpoint comes last: whoever goes on from it finds everything else of its step.
            saving = step % config.save_every == 0 or last
            if saving or step % config.milestone_every == 0:
                _require_whole(trainer, step, config)
            if step % config.milestone_every == 0:
                save_run_generator(trainer, config, step, f"milestones/step_{step:08d}.safetensors")
            if saving:
                save_run_generator(trainer, config, step, "generator.safetensors")
                seconds = time.perf_counter() - started
                state = {"step": step, "seconds": seconds, "facts": facts, "state": trainer.state()}
                checkpoints.save(step, state)
    if not (config.run_folder / "generator.safetensors").exists():
        save_run_generator(trainer, config, step, "generator.safetensors")
    done = step >= config.steps
    say(
        f"Done: {step:,} steps in {_duration(seconds)}."
        if done
        else f"Stopped and saved at step {step:,} of {config.steps:,}: run it again to go on."
    )
    return done


def save_run_generator(trainer: Trainer, config: TrainConfig, step: int, name: str) -> None:
    """Write the averaged generator below the run's folder, with everything needed to use it and no times or paths."""
    metadata = {
        "direction": "selfie_to_drag",
        "look": config.look,
        "alignment": ALIGNMENT,
        "steps": str(step),
        "licence": config.licence,
    }
    save_generator(trainer.ema, config.run_folder / name, metadata)


def draw_run(config: TrainConfig) -> None:
    """Draw losses.png and progression.jpg of a run anew from its journal and samples."""
    rows = read_journal(config.run_folder / "journal.jsonl")
    save_loss_plot(rows, config.run_folder / "losses.png", config.run_folder.name)
    picture = progression(config.run_folder)
    if picture is not None:
        save_photo(config.run_folder / "progression.jpg", picture)


class _Tick:
    """Sums losses on the device and reads them once a tick: reading waits for the device."""

    def __init__(self, device: torch.device):
        self.device = device
        self._reset()

    def _reset(self) -> None:
        self.sums, self.count, self.started = {}, 0, time.perf_counter()

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        self.count += 1
        for name, loss in losses.items():
            self.sums[name] = self.sums[name] + loss if name in self.sums else loss.clone()

    def close(self) -> dict[str, float]:
        values = (torch.stack([value.float() for value in self.sums.values()]) / self.count).tolist()
        row = {name: _rounded(value) for name, value in zip(self.sums, values, strict=True)}
        row["seconds_per_step"] = _rounded((time.perf_counter() - self.started) / self.count)
        row["memory_mb"] = peak_memory_mb(self.device)
        self._reset()
        return row


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in MiB: the GPU's as torch reserved it, the process's own on a CPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_reserved(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


class _Speaker:
    def __init__(self, aloud: bool):
        self.aloud = aloud

    def __call__(self, sentence: str) -> None:
        if self.aloud:
            tqdm.write(sentence, file=sys.stderr)


def _facts(
    config: TrainConfig, sets: dict[tuple[str, str], FaceSet], device: torch.device, precision: torch.dtype
) -> dict[str, Any]:
    """What an exact resume depends on besides the saved state."""
    return {
        "config": {name: value for name, value in config.as_dict().items() if name not in INCONSEQUENTIAL},
        "faces": {f"{domain}/{split}": sets[domain, split].digest for domain, split in sets if split == "train"},
        "device": device.type,
        "precision": str(precision),
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "torch": str(torch.__version__),  # its own type is refused by weights_only
        "python": platform.python_version(),
    }


def _require_same_architecture(config: TrainConfig, saved: dict[str, Any]) -> None:
    for name in ARCHITECTURE:
        if saved["config"].get(name) != getattr(config, name):
            raise DragFaceError(
                f"The run {config.run} was trained with {name} {saved['config'].get(name)}, not "
                f"{getattr(config, name)}: use that setting, or name another run."
            )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each difference that makes the resumed run another than an uninterrupted one."""
    sentences = []
    for name, value in now.items():
        was = before.get(name)
        if isinstance(value, dict):
            for key, part in value.items():
                if (was or {}).get(key) != part:
                    sentences.append(
                        f"The faces in {key} have changed since the run began."
                        if name == "faces"
                        else f"{key} was {(was or {}).get(key)} and is now {part}."
                    )
        elif was != value:
            sentences.append(f"{name} was {was} and is now {value}.")
    return sentences


def _require_numbers(row: dict[str, float], step: int, config: TrainConfig) -> None:
    lost = [name if name.count(" ") else f"{name} loss" for name, value in row.items() if not math.isfinite(value)]
    if lost:
        raise DragFaceError(
            f"The {lost[0]} is no longer a number at step {step:,}: the last checkpoint in "
            f"{config.run_folder / 'checkpoints'} is whole; go on with --precision fp32 or a smaller --lr."
        )


def _require_whole(trainer: Trainer, step: int, config: TrainConfig) -> None:
    """An update can spoil the weights while the losses it came from were still numbers: never save that."""
    total = torch.stack([parameter.sum() for parameter in trainer.networks.parameters()]).sum().item()
    _require_numbers({"sum of the weights": total}, step, config)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one is handled as usual."""
    interrupted = threading.Event()
    before = {}

    def handle(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(number, before[number])
        with suppress(OSError):
            print("\nStopping after this step, and saving; once more to stop at once.", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else f"{seconds:.0f} s"
    )
