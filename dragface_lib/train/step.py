"""One update of discriminators and generators, with nothing computed twice.

Against a literal reading of the paper: the fakes of the discriminators' update are the generators' own, made
once; a generator translates the source face and keeps the target face in one batch; a discriminator judges
real and fake in one batch; and while the generators learn, the discriminators are frozen.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import DragFaceError
from ..model import losses
from ..model.discriminator import LOCAL_LAYERS, Discriminator, Judgement, global_layers
from ..model.generator import Generator
from ..model.norms import clip_rho
from .augment import augmented
from .config import TrainConfig, ema_share, learning_rate
from .data import Batch
from .distributed import rank, world_size

Faces = Float[Tensor, "batch 3 height width"]


class Networks(nn.Module):
    """The six networks of a run: a generator a direction, a global and a local discriminator a domain."""

    def __init__(self, config: TrainConfig, make_generator: Callable[..., Generator] = Generator):
        super().__init__()
        architecture = config.architecture()
        self.selfie_to_drag, self.drag_to_selfie = make_generator(**architecture), make_generator(**architecture)
        depth = global_layers(config.size)
        self.drag_global, self.selfie_global = (
            Discriminator(config.channels, depth, config.discriminator_gain) for _ in range(2)
        )
        self.drag_local, self.selfie_local = (
            Discriminator(config.channels, LOCAL_LAYERS, config.discriminator_gain) for _ in range(2)
        )

    def generators(self) -> nn.ModuleList:
        """Both generators."""
        return nn.ModuleList([self.selfie_to_drag, self.drag_to_selfie])

    def discriminators(self) -> nn.ModuleList:
        """All four discriminators."""
        return nn.ModuleList([self.drag_global, self.drag_local, self.selfie_global, self.selfie_local])


class Trainer:
    """Networks, their moving average, optimisers and loss scaler, and how they advance by one step.

    make_generator: called with the architecture; another one than Generator to try out something new.
    lap: called after each part of a step with the name of the part, for whoever holds a stopwatch.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        precision: torch.dtype,
        make_generator: Callable[..., Generator] = Generator,
    ):
        self.config, self.device, self.precision = config, device, precision
        self.lap: Callable[[str], None] = lambda part: None
        torch.manual_seed(config.seed)
        networks = Networks(config, make_generator)
        # The average used for pictures and for the showcase.
        self.ema = copy.deepcopy(networks.selfie_to_drag).to(device).eval().requires_grad_(False)
        # A CPU's convolutions rearrange every kernel anyway, and its fused Adam would copy what is not contiguous.
        layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
        self.networks = networks.to(device).to(memory_format=layout)
        # The networks as they are called where gradients are wanted: several processes then average these.
        self.learning = dict(self.networks.named_children())
        if world_size() > 1:
            of_these = [device.index] if device.type == "cuda" else None
            self.learning = {
                name: DistributedDataParallel(network, of_these, broadcast_buffers=False, gradient_as_bucket_view=True)
                for name, network in self.learning.items()
            }
        self.generator_optimiser = self._optimiser(self.networks.generators())
        self.discriminator_optimiser = self._optimiser(self.networks.discriminators())
        self.rate = config.lr
        # It begins low: the CAM's weight, 1000 as published, is already in the losses: more would overflow at first.
        self.scaler = torch.amp.GradScaler(device.type, init_scale=16.0, enabled=precision == torch.float16)

    def _optimiser(self, networks: nn.Module) -> torch.optim.Adam:
        config = self.config
        return torch.optim.Adam(
            networks.parameters(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cuda", "cpu"),
        )

    def step(self, step: int, selfies: Batch, drags: Batch) -> dict[str, Tensor]:
        """Update number `step` (from 0) on a batch of each domain.

        With masks the discriminators see the faces alone, on grey, and what the generators change outside them is a
        loss of its own.
        Returns the losses as tensors on the device; reading them waits for it, so do that once in a while.
        """
        self.rate = learning_rate(step, self.config.steps, self.config.lr)
        for optimiser in (self.generator_optimiser, self.discriminator_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.rate
        selfie, drag = (
            batch.faces.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            for batch in (selfies, drags)
        )
        selfie_mask, drag_mask = (
            None if batch.masks is None else batch.masks.to(self.device, non_blocking=True)
            for batch in (selfies, drags)
        )
        networks, learning, count = self.networks, self.learning, len(selfie)
        first = (step * world_size() + rank()) * count  # number of the first face, for augmentation
        # What both faces fill: a mask of each one's own would tell real from fake by its outline.
        both = selfie_mask * drag_mask if selfie_mask is not None and drag_mask is not None else None

        # Translate each face, and give each generator a face that it should keep.
        with self._autocast():
            to_drag = learning["selfie_to_drag"](torch.cat([selfie, drag]))
            to_selfie = learning["drag_to_selfie"](torch.cat([drag, selfie]))
        fake_drag, kept_drag = to_drag.image.split(count)
        fake_selfie, kept_selfie = to_selfie.image.split(count)
        found = {}
        self.lap("generators")

        # Update the discriminators, on fakes cut off from the generators.
        with self._autocast():
            for domain, real, fake in (
                ("drag", _seen(drag, both), _seen(fake_drag, both)),
                ("selfie", _seen(selfie, both), _seen(fake_selfie, both)),
            ):
                real = self._augmented(real, f"{domain} real", first)
                shown = torch.cat([real, self._augmented(fake.detach(), f"{domain} fake", first)])
                for reach in ("global", "local"):
                    judged = learning[f"{domain}_{reach}"](shown)
                    real_judged, fake_judged = (Judgement(*parts) for parts in _halves(judged, count))
                    found[f"{domain}_{reach}"] = losses.adversarial_loss(real_judged, 1) + losses.adversarial_loss(
                        fake_judged, 0
                    )
            discriminator_loss = losses.ADVERSARIAL_WEIGHT * reduce(add, found.values())
        self._update(self.discriminator_optimiser, discriminator_loss, "discriminators")

        # Update the generators against the discriminators just updated.
        with _frozen(networks.discriminators()), self._autocast():
            for domain, fake in (("drag", _seen(fake_drag, both)), ("selfie", _seen(fake_selfie, both))):
                shown = self._augmented(fake, f"{domain} fooling", first)
                fooled = (
                    losses.adversarial_loss(networks.get_submodule(f"{domain}_{reach}")(shown), 1)
                    for reach in ("global", "local")
                )
                found[f"fool_{domain}"] = reduce(add, fooled)
            found["cycle"] = losses.reconstruction_loss(
                learning["drag_to_selfie"](fake_drag).image, selfie
            ) + losses.reconstruction_loss(learning["selfie_to_drag"](fake_selfie).image, drag)
            found["identity"] = losses.reconstruction_loss(kept_drag, drag) + losses.reconstruction_loss(
                kept_selfie, selfie
            )
            found["cam"] = losses.cam_loss(*to_drag.cam_logits.split(count)) + losses.cam_loss(
                *to_selfie.cam_logits.split(count)
            )
            generator_loss = (
                losses.ADVERSARIAL_WEIGHT * (found["fool_drag"] + found["fool_selfie"])
                + losses.CYCLE_WEIGHT * found["cycle"]
                + losses.IDENTITY_WEIGHT * found["identity"]
                + self.config.cam_loss_weight * found["cam"]
            )
            if selfie_mask is not None and drag_mask is not None:
                found["background"] = losses.background_loss(fake_drag, selfie, selfie_mask) + losses.background_loss(
                    fake_selfie, drag, drag_mask
                )
                generator_loss = generator_loss + losses.BACKGROUND_WEIGHT * found["background"]
        self._update(self.generator_optimiser, generator_loss, "generators")
        clip_rho(networks)
        self.scaler.update()
        self._update_ema(step)
        self.lap("optimiser")
        found |= {"generator": generator_loss, "discriminator": discriminator_loss}
        return {name: loss.detach() for name, loss in found.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def _augmented(self, faces: Faces, purpose: str, first: int) -> Faces:
        return augmented(faces, self.config.seed, purpose, first) if self.config.diff_augment else faces

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor, part: str) -> None:
        self.scaler.scale(loss).backward()
        self.lap(part)
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)  # at once: the other update needs the memory
        self.lap("optimiser")

    @torch.no_grad()
    def _update_ema(self, step: int) -> None:
        share = ema_share(step, self.config.batch * world_size(), self.config.ema_half_life)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.networks.selfie_to_drag.parameters()), share)

    def state(self) -> dict[str, object]:
        """Everything that decides the future, for a checkpoint."""
        return {
            "networks": self.networks.state_dict(),
            "ema": self.ema.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: dict[str, dict]) -> None:
        """Take up what `state` returned."""
        for name, content in state.items():
            getattr(self, name).load_state_dict(content)


@contextmanager
def memory_explained(config: TrainConfig) -> Iterator[None]:
    """Turns running out of memory into a sentence with what to change, in order."""
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


def _seen(faces: Faces, mask: Tensor | None) -> Faces:
    """What a discriminator sees of faces: all, or the face alone on grey."""
    return faces if mask is None else faces * mask


def _halves(judged: Judgement, count: int) -> tuple[list[Tensor], list[Tensor]]:
    return [part[:count] for part in judged], [part[count:] for part in judged]


@contextmanager
def _frozen(networks: nn.Module) -> Iterator[None]:
    """No gradients for these weights, and no power iteration of their spectral norms."""
    networks.requires_grad_(False).eval()
    try:
        yield
    finally:
        networks.requires_grad_(True).train()
