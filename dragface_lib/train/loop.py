"""The training loop: run it again on the same run folder and it goes on where it stopped.

    from dragface_lib.train import TrainConfig, train
    train(TrainConfig(faces="faces", run="runs/first"))

`keeping.py` says what a run leaves behind. Several GPUs of one machine train one run together when torchrun starts it
(`distributed.py`).
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from ..devices import choose_device, choose_precision
from ..errors import DragFaceError
from ..files import locked
from .checkpoints import Checkpoints
from .config import TrainConfig, prepare
from .data import DOMAINS, Batch, FaceSet, Sampler, load_domains, prefetched
from .distributed import any_process, barrier, is_main_process, mean_over_processes, process_group, rank, world_size
from .journal import duration
from .keeping import Keeper
from .mirror import restore
from .pictures import is_milestone, sample_faces
from .resuming import changes_since, facts_of, require_same_architecture
from .step import Trainer, memory_explained

EXPLODED = 10_000.0  # no term of a sane run comes near: logits off by 100, where 1 is aimed at


def train(config: TrainConfig, progress: bool = True, watch: Callable[[], None] | None = None) -> bool:
    """Train, or go on with, the run that `config` describes; progress goes to stderr.

    watch: called when there is something new to see in the run's folder.
    Returns False when an interrupt (Ctrl-C, Colab's stop button, SIGTERM) ended it early, True when all steps are done
    or the session's time was up; everything is saved either way. Raises DragFaceError when faces are missing, the run
    folder holds another architecture or is being trained by another process, memory or disk do not suffice, or the
    losses are no longer numbers or explode.
    """
    with memory_explained(config), prepare(config), process_group(choose_device(config.device)) as device:
        sets = load_domains(config.faces, config.size, with_masks=config.discriminator_input == "face")
        with ExitStack() as held:
            notes: list[str] = []
            if is_main_process():
                held.enter_context(locked(config.run_folder, "trained"))
                notes = restore(Path(config.run), config.run_folder) if config.scratch else []
            barrier()
            return _train(config, device, sets, _Speaker(progress and is_main_process()), notes, watch)


def _train(
    config: TrainConfig,
    device: torch.device,
    sets: dict[tuple[str, str], FaceSet],
    say: _Speaker,
    notes: list[str],
    watch: Callable[[], None] | None,
) -> bool:
    precision = choose_precision(config.precision, device)

    # Sample data.
    samplers = [Sampler(sets[domain, "train"], config.size, config.seed + n) for n, domain in enumerate(DOMAINS)]

    def draw(step: int) -> list[Batch]:
        share = step * world_size() + rank()
        batches = [sampler.batch(share, config.batch) for sampler in samplers]
        return [batch.pin_memory() for batch in batches] if device.type == "cuda" else batches

    for (domain, split), faces in sets.items():
        left_out = f", {len(faces.unreadable)} left out:" if faces.unreadable else ""
        say(f"{domain}/{split}: {len(faces)} faces{left_out}")
        for name, reason in faces.unreadable:
            say(f"  left out: {name} ({reason})")

    # Construct networks.
    trainer = Trainer(config, device, precision)
    fixed = sample_faces(sets["selfie", "test"], sets["selfie", "train"])
    keeper = Keeper(config, trainer, fixed, say, watch) if is_main_process() else None

    # Resume.
    facts = facts_of(config, sets, device, precision)
    saved, damaged = Checkpoints(config.run_folder / "checkpoints").newest()
    notes, step, seconds = notes + damaged, 0, 0.0
    if saved is not None:
        require_same_architecture(config, saved["facts"])
        trainer.load_state(saved["state"])
        step, seconds = saved["step"], saved["seconds"]
        notes += changes_since(saved["facts"], facts)
        say(f"Going on at step {step:,} of {config.steps:,}, after {duration(seconds)}, from {config.run_folder}.")
    del saved
    barrier()  # until everyone has read what the leader will soon replace

    # Train.
    tick = _Tick(device)
    bar = tqdm(total=config.steps, initial=step, desc=Path(config.run).name, unit="step", disable=not say.aloud)
    with keeper or ExitStack(), bar, _interrupts() as interrupted, closing(prefetched(draw, step)) as batches:
        if keeper:
            keeper.begin(step, notes)
        started, in_time = time.perf_counter() - seconds, True
        last = step >= config.steps
        while not last:
            losses = trainer.step(step, *next(batches))
            step += 1
            bar.update()
            tick.add(losses)
            ticking = step % config.log_every == 0
            last = step >= config.steps
            # By the clock only at a tick, so that a run's journal does not depend on how fast it was.
            if ticking and not last:
                in_time = not any_process(keeper is not None and keeper.must_stop(), device)
            if (ticking or world_size() == 1) and not last:  # where several must agree, they do so once a tick
                last = not in_time or any_process(interrupted.is_set(), device)
            saving = step % config.save_every == 0 or last or (ticking and keeper and keeper.clock.until_save() <= 0)
            milestone = is_milestone(step, config.milestone_every)

            # Journal.
            if ticking or step % config.save_every == 0 or last:
                row = tick.close()
                _require_numbers(row, step, config)
                bar.set_postfix(G=f"{row['generator']:.1f}", D=f"{row['discriminator']:.2f}")
                if keeper:
                    keeper.add(step, row | {"lr": trainer.rate})
            if keeper is None:
                continue

            # Draw and measure.
            if step % config.sample_every == 0 or (last and in_time):
                keeper.draw(step)
            if saving or milestone or step % config.validate_every == 0:
                _require_whole(trainer, step, config)
            if step % config.validate_every == 0:
                keeper.validate(step)
            if milestone:
                keeper.save_generator(step, f"milestones/step_{step:08d}.safetensors", half=True)

            # Save.
            if saving:
                seconds = time.perf_counter() - started
                keeper.save(step, seconds, facts)
        if keeper and not (config.run_folder / "generator.safetensors").exists():
            keeper.save_generator(step, "generator.safetensors")
    if step >= config.steps:
        say(f"Done: {step:,} steps in {duration(seconds)}.")
    else:
        why = "Stopped" if in_time else "The session's time is up: stopped"
        say(f"{why} and saved at step {step:,} of {config.steps:,}: run it again to go on.")
    return step >= config.steps or not in_time


class _Tick:
    """Sums losses on the device and reads them once a tick: reading waits for the device."""

    def __init__(self, device: torch.device):
        self.device = device
        self._reset()

    def _reset(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.count, self.started = 0, time.perf_counter()

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        self.count += 1
        for name, loss in losses.items():
            self.sums[name] = self.sums[name] + loss if name in self.sums else loss.clone()

    def close(self) -> dict[str, float]:
        values = (
            mean_over_processes(torch.stack([value.float() for value in self.sums.values()])) / self.count
        ).tolist()
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


def _require_numbers(row: dict[str, float], step: int, config: TrainConfig) -> None:
    """Raises DragFaceError where a loss is no number, or one that no later step comes back from."""
    for name, value in row.items():
        sane = math.isfinite(value) and (value < EXPLODED or name in ("generator", "memory_mb", "sum of the weights"))
        if not sane:
            folder = config.run_folder / "checkpoints"
            saved = any(folder.glob("step_*.pt"))
            raise DragFaceError(
                f"The {name if ' ' in name else f'{name} loss'} "
                f"{'has exploded' if math.isfinite(value) else 'is no longer a number'} at step {step:,}: "
                f"{f'the last checkpoint in {folder} is whole; go on' if saved else 'nothing was saved yet; begin'} "
                "with --precision fp32 or a smaller --lr."
            )


def _require_whole(trainer: Trainer, step: int, config: TrainConfig) -> None:
    """An update can spoil the weights while the losses it came from were still numbers: never save that."""
    total = torch.stack([parameter.sum() for parameter in trainer.networks.parameters()]).sum().item()
    _require_numbers({"sum of the weights": total}, step, config)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one is handled as usual."""
    interrupted = threading.Event()
    before: dict[int, Any] = {}

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
