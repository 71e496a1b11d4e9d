"""The training loop: run it again on the same run folder and it goes on where it stopped.

    from dragface_lib.train import TrainConfig, train
    train(TrainConfig(faces="faces", run="runs/first"))

`saving.py` says what a run leaves behind. Several GPUs of one machine train one run together when torchrun starts it
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
from torch import Tensor
from tqdm.auto import tqdm

from ..devices import choose_device, choose_precision
from ..errors import DragFaceError
from ..files import locked
from .checkpoints import changes_since, facts_of, load_checkpoint
from .config import TrainConfig, choose_kernels, learning_rate
from .data import DOMAINS, Batch, FaceSet, Sampler, load_domains, prefetched
from .distributed import any_process, barrier, is_main_process, mean_over_processes, process_group, rank, world_size
from .pictures import is_milestone, sample_faces
from .progress import duration
from .saving import RunWriter, restore
from .step import Trainer, memory_explained

EXPLODED = 10_000.0  # no term of a sane run comes near: logits off by 100, where 1 is aimed at


def train(config: TrainConfig, progress: bool = True, watch: Callable[[], None] = lambda: None) -> bool:
    """Train, or go on with, the run that `config` describes; progress goes to stderr.

    watch: called when there is something new to see in the run's folder.
    Returns False when an interrupt (Ctrl-C, Colab's stop button, SIGTERM) ended it early, True when all steps are done
    or the session's time was up; everything is saved either way. Raises DragFaceError when faces are missing, the run
    folder holds another architecture or is being trained by another process, memory or disk do not suffice, or the
    losses are no longer numbers or explode.
    """
    with (
        memory_explained(config),
        choose_kernels(config.deterministic),
        process_group(choose_device(config.device)) as device,
        ExitStack() as stack,
    ):
        precision = choose_precision(config.precision, device)
        folder, notes, step, seconds = config.run_folder, [], 0, 0.0
        aloud = progress and is_main_process()

        def say(sentence: str) -> None:
            if aloud:
                tqdm.write(sentence, file=sys.stderr)

        # Load dataset.
        sets = load_domains(config.faces, config.size, with_masks=config.discriminator_input == "face")
        samplers = [Sampler(sets[domain, "train"], config.size, config.seed + n) for n, domain in enumerate(DOMAINS)]
        for sentence in _described(sets):
            say(sentence)

        # Take the run's folder.
        if is_main_process():
            stack.enter_context(locked(folder, "trained"))
            notes = restore(Path(config.run), folder) if config.scratch else []
        barrier()

        # Construct networks.
        trainer = Trainer(config, device, precision, say=say)
        writer = None
        if is_main_process():
            fixed_faces = sample_faces(sets["selfie", "test"], sets["selfie", "train"])
            writer = stack.enter_context(RunWriter(config, trainer, fixed_faces, say, watch))

        # Resume.
        facts = facts_of(config, sets, device, precision)
        checkpoint, damaged = load_checkpoint(folder / "checkpoints")
        notes += damaged
        if checkpoint is not None:
            notes += changes_since(checkpoint["facts"], facts, config.run)
            trainer.load_state(checkpoint["state"])
            step, seconds = checkpoint["step"], checkpoint["seconds"]
            say(f"Going on at step {step:,} of {config.steps:,}, after {duration(seconds)}, from {folder}.")
        del checkpoint
        barrier()  # until every process has read what the main process will soon replace
        if writer:
            writer.begin(step, notes)

        # Train.
        def draw(step: int) -> list[Batch]:
            batches = [sampler.batch(step * world_size() + rank(), config.batch) for sampler in samplers]
            return [batch.pin_memory() for batch in batches] if device.type == "cuda" else batches

        bar = tqdm(total=config.steps, initial=step, desc=Path(config.run).name, unit="step", disable=not aloud)
        interrupted = stack.enter_context(_interrupts())
        batches = stack.enter_context(closing(prefetched(draw, step)))
        losses, session_over, last = LossSums(device), False, step >= config.steps
        started = time.perf_counter() - seconds
        with bar:
            while not last:
                losses.add(trainer.step(step, *next(batches)))
                step += 1
                bar.update()

                # Stop. By the clock only at a tick, so that the journal does not depend on how fast the run is.
                tick, last = step % config.log_every == 0, step >= config.steps
                if tick and not last:
                    session_over = any_process(writer is not None and writer.session_over(), device)
                if (tick or world_size() == 1) and not last:  # several processes agree once a tick
                    last = session_over or any_process(interrupted.is_set(), device)
                save = step % config.save_every == 0 or last or bool(tick and writer and writer.seconds_to_save() == 0)
                validate, milestone = step % config.validate_every == 0, is_milestone(step, config.milestone_every)

                # Log.
                if tick or step % config.save_every == 0 or last:
                    row = losses.means()
                    _require_sane(row, step, config)
                    bar.set_postfix(G=f"{row['generator']:.1f}", D=f"{row['discriminator']:.2f}")
                    if writer:
                        writer.log(step, row | {"lr": learning_rate(step - 1, config.steps, config.lr)})
                if not writer:
                    continue

                # Draw, measure and save.
                if step % config.sample_every == 0 or step >= config.steps:
                    writer.sample(step)
                if save or milestone or validate:
                    # An update can spoil the weights while the losses it came from were still numbers.
                    total = torch.stack([parameter.sum() for parameter in trainer.networks.parameters()]).sum().item()
                    _require_sane({"sum of the weights": total}, step, config)
                if validate:
                    writer.validate(step)
                if milestone:
                    writer.save_generator(step, f"milestones/step_{step:08d}.safetensors", half=True)
                if save:
                    writer.save(step, time.perf_counter() - started, facts)
        if writer and not (folder / "generator.safetensors").exists():
            writer.save_generator(step)

    if step >= config.steps:
        say(f"Done: {step:,} steps in {duration(time.perf_counter() - started)}.")
    else:
        why = "The session's time is up: stopped" if session_over else "Stopped"
        say(f"{why} and saved at step {step:,} of {config.steps:,}: run it again to go on.")
    return step >= config.steps or session_over


def _described(sets: dict[tuple[str, str], FaceSet]) -> Iterator[str]:
    """How many faces there are, and which were left out."""
    for (domain, split), faces in sets.items():
        left_out = f", {len(faces.unreadable)} left out:" if faces.unreadable else ""
        yield f"{domain}/{split}: {len(faces)} faces{left_out}"
        yield from (f"  left out: {name} ({reason})" for name, reason in faces.unreadable)


class LossSums:
    """Adds up losses on the device and reads them once a tick, because reading waits for the device."""

    def __init__(self, device: torch.device):
        self.device, self.started = device, time.perf_counter()
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step."""
        if self.steps == 0:
            self.sums = {name: loss.clone() for name, loss in losses.items()}
        else:
            torch._foreach_add_(list(self.sums.values()), [losses[name] for name in self.sums])
        self.steps += 1

    def means(self) -> dict[str, float]:
        """The mean of each loss since the last call, seconds per step, and memory."""
        means = (mean_over_processes(torch.stack(list(self.sums.values()))) / self.steps).tolist()
        row = dict(zip(self.sums, means, strict=True))
        row["seconds_per_step"] = (time.perf_counter() - self.started) / self.steps
        row["memory_mb"] = peak_memory_mb(self.device)
        self.steps, self.started = 0, time.perf_counter()
        return {name: float(f"{value:.6g}") for name, value in row.items()}


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


def _require_sane(row: dict[str, float], step: int, config: TrainConfig) -> None:
    """Raises DragFaceError where a loss is no number, or so large that no later step brings it back."""
    for name, value in row.items():
        if math.isfinite(value) and (value < EXPLODED or name in ("generator", "memory_mb", "sum of the weights")):
            continue
        folder, what = config.run_folder / "checkpoints", name if " " in name else f"{name} loss"
        fault = "has exploded" if math.isfinite(value) else "is no longer a number"
        advice = "nothing was saved yet; begin"
        if any(folder.glob("step_*.pt")):
            advice = f"the last checkpoint in {folder} is whole; go on"
        raise DragFaceError(f"The {what} {fault} at step {step:,}: {advice} with --precision fp32 or a smaller --lr.")


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
