"""The training loop: run it again on the same run folder and it goes on where it stopped.

    from dragface_lib.train import TrainConfig, train
    train(TrainConfig(faces="faces", run="runs/first"))

`saving.py` says what a run leaves behind. Several GPUs of one machine train one run together when torchrun starts it
(`devices.py`).
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from tqdm.auto import tqdm

from ..crop.align import ALIGNMENT
from ..devices import any_process, barrier, choose_device, choose_precision, process_group, rank, world_size
from ..errors import DragFaceError
from ..evaluate.validation import Validation
from ..files import locked
from ..manifest import DOMAINS
from ..model.generator import to_unit
from ..model.weights import save_generator
from .beginning import checkpoint_of, licence_of, load_beginning, origin_in
from .config import TrainConfig, changes_since, choose_kernels, facts_in, facts_of, learning_rate, memory_explained
from .data import Batch, Sampler, load_domains, prefetched
from .mirror import Mirror
from .pictures import Pictures, best_step_and_score, draw_sample, forget_after, is_milestone, sample_places
from .progress import LossSums, append_to_journal, draw_run, rounded, shorten_journal
from .saving import checkpoints, load_checkpoint, require_room, save_checkpoint
from .step import Trainer

EXPLODED = 10_000.0  # the loss of logits that are off by 100; a sane run stays far below


def train(config: TrainConfig, progress: bool = True, watch: Callable[[], None] = lambda: None) -> bool:
    """Train, or go on with, the run that `config` describes; progress goes to stderr.

    watch: called when there is something new to see in the run's folder.
    Returns False when an interrupt (Ctrl-C, Colab's stop button, SIGTERM) ended it early, True when all steps are done
    or the session's time was up; everything is saved either way. Raises DragFaceError when faces are missing, the run
    folder holds another architecture or is being trained by another process or machine, memory or disk do not suffice,
    the losses are no longer numbers or explode, or the run ended and is not wholly in its folder.
    """
    with memory_explained(config), process_group(choose_device(config.device)) as device, ExitStack() as stack:
        choose_kernels(config.deterministic)
        precision, main = choose_precision(config.precision, device), rank() == 0
        folder, run, began = config.run_folder, Path(config.run), monotonic()
        journal = folder / "journal.jsonl"

        def say(sentence: str) -> None:
            if progress and main:
                tqdm.write(sentence, file=sys.stderr)

        pictures = Pictures(say)

        # Load dataset.
        sets = load_domains(config.faces, config.size, with_masks=config.discriminator_input == "face")
        samplers = [Sampler(sets[domain, "train"], config.size, config.seed + n) for n, domain in enumerate(DOMAINS)]
        images = (sets["selfie", "test"] if len(sets["selfie", "test"]) else sets["selfie", "train"]).images
        shown_faces = to_unit(images[sample_places(len(images))])
        for (domain, split), faces in sets.items():
            say(f"{domain}/{split}: {len(faces)} faces, {len(faces.unreadable)} left out")
            for name, reason in faces.unreadable:
                say(f"  left out: {name} ({reason})")
        validation = None
        if main and config.validate_every <= config.steps:
            try:
                validation = Validation(config.faces)
            except DragFaceError as error:  # no test faces: the run trains without
                say(f"Nothing is measured. {error}")

        # Construct networks, and take the run's folder.
        trainer = Trainer(config, device, precision, say=say)
        mirror = None
        if main:
            stack.enter_context(locked(folder, "trained"))
            require_room(folder, trainer)
            if config.scratch:
                mirror = stack.enter_context(Mirror(run, folder, say))
                require_room(run, trainer)
        barrier()

        # Resume.
        digests = {f"The faces in {domain}/train": sets[domain, "train"].digest for domain in DOMAINS}
        facts = facts_of(config, device, precision) | digests
        checkpoint, notes = load_checkpoint(folder / "checkpoints")
        step = 0
        if checkpoint is not None:
            step, saved = checkpoint["step"], facts_in(checkpoint, config.run)
            if step > config.steps:
                facts["steps"] = saved.get("steps")
                say(f"{step:,} steps are done already, so the run keeps its {facts['steps']}: ask for more to go on.")
            notes += changes_since(saved, facts, config.run)
            trainer.load_state(checkpoint.get("state"))
            trainer.begun_with = origin_in(checkpoint)
            if config.begin_with and Path(config.begin_with).name != trainer.begun_with.get("begun_with"):
                say(f"Only a new run begins with {config.begin_with}: this one goes on with what it has learned.")
            say(f"Going on at step {step:,} of {config.steps:,}, from {folder}.")
        elif config.begin_with:
            notes.append(load_beginning(trainer))
        del checkpoint
        barrier()  # every process has read the files that the main process soon replaces
        if main:
            replace(config, steps=facts["steps"]).save()
            if foreign := shorten_journal(journal, step):
                say(f"{journal} has {foreign} lines that are none of a journal's, and are left out.")
            forget_after(folder, step)
            best = best_step_and_score(folder)[1]
            for note in notes:
                say(note)
                append_to_journal(journal, step, note=note)
            if trainer.begun_with and step == 0:  # the checkpoint replaces the weights it began with
                save_checkpoint(folder / "checkpoints", 0, checkpoint_of(trainer, facts))
            pictures.draw(watch)
        if mirror:
            mirror.start()

        # Train.
        def draw(step: int) -> list[Batch]:
            batches = [sampler.batch(step * world_size() + rank(), config.batch) for sampler in samplers]
            return [batch.pin_memory() for batch in batches] if device.type == "cuda" else batches

        batches = stack.enter_context(closing(prefetched(draw, step)))
        interrupted = stack.enter_context(_interrupts())
        hidden = not (progress and main)
        bar = stack.enter_context(tqdm(total=config.steps, initial=step, desc=run.name, unit="step", disable=hidden))
        losses, session_over, last = LossSums(device), False, step >= config.steps
        last_save = last_tick = monotonic()
        longest_save = 0.0
        while not last:
            losses.add(trainer.step(step, *next(batches)))
            step += 1
            bar.update()

            # Stop. By the clock only at a tick, so that the journal does not depend on the speed.
            tick, last = step % config.log_every == 0, step >= config.steps
            if tick and not last:
                # Leave time for the steps of another tick, for twice the longest save, and for the last copy.
                needed = monotonic() - last_tick + 2 * longest_save + (mirror.seconds if mirror else 0.0)
                last_tick = monotonic()
                session_over = any_process(0 < 60 * config.session_minutes <= last_tick - began + needed, device)
            if (tick or world_size() == 1) and not last:  # several processes agree once a tick
                last = session_over or any_process(interrupted.is_set(), device)

            # Log.
            validate, milestone = step % config.validate_every == 0, is_milestone(step, config.milestone_every)
            save = step % config.save_every == 0 or last
            if tick or validate or milestone or save:
                row = losses.means()
                # An update can spoil the weights although its losses were still numbers.
                total = torch.stack([parameter.sum() for parameter in trainer.networks.parameters()]).sum().item()
                _require_sane(row | {"sum of the weights": total}, step, config, precision)
                bar.set_postfix(G=f"{row['generator']:.1f}", D=f"{row['discriminator']:.2f}")
                seconds_to_save = round(max(0.0, last_save + 60 * config.save_minutes - monotonic()))
                if main:
                    rate = learning_rate(step - 1, config.steps, config.lr)
                    append_to_journal(journal, step, **row, lr=rate, seconds_to_save=seconds_to_save)
                    pictures.draw(watch)
            if not main:
                continue

            # Draw samples.
            if step % config.sample_every == 0 or step >= config.steps:
                pictures.draw(draw_sample, folder, step, trainer.ema, shown_faces)
                pictures.draw(draw_run, config, pictures.say)
                pictures.draw(watch)

            # Measure and save.
            if validate and validation:
                measures = validation(trainer.ema)
                if measures["score"] > best:
                    best = measures["score"]
                    save_average(trainer, folder / "best.safetensors", step, score=f"{best:.6g}")
                append_to_journal(journal, step, **rounded(measures))
            if milestone:
                pictures.draw(save_average, trainer, folder / f"milestones/step_{step:08d}.safetensors", step, True)
            if save or (tick and seconds_to_save == 0):  # checkpoint last: all other files of its step exist by then
                before_save = monotonic()
                save_average(trainer, folder / "generator.safetensors", step)
                save_checkpoint(folder / "checkpoints", step, checkpoint_of(trainer, facts))
                last_save = monotonic()
                longest_save = max(longest_save, last_save - before_save)
                if mirror:
                    mirror.start()
        if main and not (folder / "generator.safetensors").exists():
            save_average(trainer, folder / "generator.safetensors", step)

    if step >= config.steps:
        say(f"Done: {step:,} steps.")
    else:
        why = "The session's time is up: stopped" if session_over else "Stopped"
        say(f"{why} and saved at step {step:,} of {config.steps:,}: run it again to go on.")
    if mirror and mirror.fault:
        raise DragFaceError(mirror.fault)
    return step >= config.steps or session_over


def save_average(trainer: Trainer, path: Path, step: int, half: bool = False, **metadata: str) -> None:
    """Write the averaged generator with all that is needed to use it; no times or paths."""
    metadata |= {"direction": "selfie_to_drag", "alignment": ALIGNMENT, "steps": str(step)}
    metadata |= {"look": trainer.config.look, "licence": licence_of(trainer)} | trainer.begun_with
    save_generator(trainer.ema, path, metadata, half)


def _require_sane(row: dict[str, float], step: int, config: TrainConfig, precision: torch.dtype) -> None:
    """Raises DragFaceError for a loss that is no number or above EXPLODED."""
    for name, value in row.items():
        fault = "is no longer a number" if not math.isfinite(value) else ""
        if value >= EXPLODED and name not in ("generator", "memory_mb", "sum of the weights"):
            fault = "has exploded"
        if fault:
            folder, subject = config.run_folder / "checkpoints", name if " " in name else f"{name} loss"
            saved = bool(checkpoints(folder))
            advice = f"the last checkpoint in {folder} is whole; go on" if saved else "nothing was saved yet; begin"
            smaller = "a smaller --lr" if precision == torch.float32 else "--precision fp32 or a smaller --lr"
            raise DragFaceError(f"The {subject} {fault} at step {step:,}: {advice} with {smaller}.")


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one is handled as usual."""
    interrupted = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(number, before[number])
        print("\nStopping after this step, and saving; once more to stop at once.", file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
