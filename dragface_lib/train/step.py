"""One update of discriminators and generators, with nothing computed twice.

Against a literal reading of the paper: the fakes of the discriminators' update are the generators' own, made
once; a generator translates the source face and keeps the target face in one batch; a discriminator judges
real and fake in one batch; and while the generators learn, the discriminators are frozen.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..devices import rank, world_size
from ..errors import DragFaceError
from ..model import losses
from ..model.generator import Generator
from ..model.norms import clip_rho, no_autocast
from .config import TrainConfig, ema_share, generator_rate, learning_rate
from .data import Batch
from .graph import CudaGraph, Graphed
from .networks import PURPOSES, Networks, augmented, draws, frozen, load_optimiser, optimiser_of

Faces = Float[Tensor, "batch 3 height width"]
Masks = Float[Tensor, "batch 1 height width"]  # 1 on the face, 0 outside
STATE = ("networks", "ema", "generator_optimiser", "discriminator_optimiser", "scaler")


class Inputs(NamedTuple):
    """All inputs of a step, as tensors: a replayed CUDA graph would keep the first value of anything else."""

    generator_lr: Float[Tensor, ""]
    discriminator_lr: Float[Tensor, ""]
    ema_share: Float[Tensor, ""]
    selfie: Faces
    drag: Faces
    selfie_mask: Masks | None
    drag_mask: Masks | None
    draws: Tensor | None  # of DiffAugment, (PURPOSES, B, 4)


class Trainer:
    """Networks, their moving average, optimisers and loss scaler, and how they advance by one step.

    On a CUDA GPU the step is recorded as a CUDA graph and replayed (`config.graph`); elsewhere the same code runs as
    it is. make_generator: makes a generator of an architecture; for experiments.
    say: takes the sentence that explains a missing graph.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        precision: torch.dtype,
        make_generator: Callable[..., Generator] = Generator,
        say: Callable[[str], None] = warnings.warn,
    ):
        self.config, self.device, self.precision, self.say = config, device, precision, say
        torch.manual_seed(config.seed)
        networks = Networks(config, make_generator)
        # The average used for pictures and for the showcase.
        self.ema = copy.deepcopy(networks.selfie_to_drag).to(device).eval().requires_grad_(False)
        # A CPU's convolutions rearrange every kernel anyway, and its fused Adam copies non-contiguous kernels.
        layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
        self.networks = networks.to(device).to(memory_format=layout)
        # The networks to call for gradients: with several processes these wrappers average the gradients.
        self.learning = dict(self.networks.named_children())
        if world_size() > 1:
            of_these = [device.index] if device.type == "cuda" else None
            self.learning = {
                name: DistributedDataParallel(network, of_these, broadcast_buffers=False, gradient_as_bucket_view=True)
                for name, network in self.learning.items()
            }
        self.generator_optimiser = optimiser_of(self.networks.generators(), config, device)
        self.discriminator_optimiser = optimiser_of(self.networks.discriminators(), config, device)
        self.begun_with: dict[str, str] = {}  # what the run began with, see `beginning.py`
        self.weights = losses.GENERATOR_WEIGHTS | {"cam": config.cam_loss_weight}
        # Start low: a CAM weight of 1000, as published, overflows at first.
        self.scaler = torch.amp.GradScaler(device.type, init_scale=16.0, enabled=precision == torch.float16)
        self.graphed = self._graphed()

    def _graphed(self) -> Graphed | None:
        if self.device.type != "cuda" or not self.config.graph:
            return None
        if world_size() > 1:
            self.say("Several processes train step by step: one CUDA graph cannot hold the step of all.")
            return None
        return Graphed(self.update, CudaGraph(self.device), self._recover, self.say)

    def step(self, step: int, selfies: Batch, drags: Batch) -> dict[str, Tensor]:
        """Update number `step` (from 0) on a batch of each domain.

        With masks the discriminators see the faces alone, on grey, and what the generators change outside them is a
        loss of its own.
        Returns the losses as tensors on the device; reading them waits for it, so do that once in a while.
        """
        config, count = self.config, len(selfies.faces)
        rate = learning_rate(step, config.steps, config.lr)
        inputs = Inputs(
            torch.tensor(generator_rate(step, rate) if self.begun_with else rate),
            torch.tensor(rate),
            torch.tensor(ema_share(step, config.batch * world_size(), config.ema_half_life)),
            selfies.faces,
            drags.faces,
            selfies.masks,
            drags.masks,
            draws(config.seed, (step * world_size() + rank()) * count, count) if config.diff_augment else None,
        )
        step_losses = self.update(self._on_device(inputs)) if self.graphed is None else self.graphed(inputs)
        # Copies, since a replay writes to the same tensors again.
        return dict(zip(step_losses, torch.stack(list(step_losses.values())).unbind(), strict=True))

    def _on_device(self, inputs: Inputs) -> Inputs:
        def moved(tensor: Tensor) -> Tensor:
            layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
            return tensor.to(self.device, non_blocking=True, memory_format=layout)

        return Inputs._make(None if tensor is None else moved(tensor) for tensor in inputs)

    def update(self, inputs: Inputs) -> dict[str, Tensor]:
        """One step, which never waits for the device. Returns the losses."""
        for group in self.generator_optimiser.param_groups:
            group["lr"] = inputs.generator_lr
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = inputs.discriminator_lr
        selfie, drag, selfie_mask, drag_mask = inputs.selfie, inputs.drag, inputs.selfie_mask, inputs.drag_mask
        networks, learning, count = self.networks, self.learning, len(selfie)
        # The area of both faces: by masks of its own, each outline would give away which face is real.
        both = selfie_mask * drag_mask if selfie_mask is not None and drag_mask is not None else None

        def shown(faces: Faces, purpose: str) -> Faces:
            """A discriminator's view of faces: the whole picture or, with masks, the face alone on grey."""
            faces = faces if both is None else faces * both
            return faces if inputs.draws is None else augmented(faces, inputs.draws[PURPOSES.index(purpose)])

        # One block of autocast rounds the generators' weights once for both of their passes.
        with self._autocast():
            # Translate each face, and give each generator a face to keep.
            to_drag = learning["selfie_to_drag"](torch.cat([selfie, drag]))
            to_selfie = learning["drag_to_selfie"](torch.cat([drag, selfie]))
            fake_drag, kept_drag = to_drag.image.split(count)
            fake_selfie, kept_selfie = to_selfie.image.split(count)

            # Update the discriminators, on detached fakes.
            of_discriminators: dict[str, Tensor] = {}
            with self._autocast(cache_enabled=False):  # these weights are about to change
                for domain, real, fake in (("drag", drag, fake_drag), ("selfie", selfie, fake_selfie)):
                    faces = torch.cat([shown(real, f"{domain} real"), shown(fake.detach(), f"{domain} fake")])
                    for reach in ("global", "local"):
                        judged = learning[f"{domain}_{reach}"](faces)
                        of_discriminators[f"{domain}_{reach}"] = losses.discriminator_loss(judged)
                discriminator_loss = reduce(add, of_discriminators.values())
            self._descend(self.discriminator_optimiser, discriminator_loss)

            # Take the generators' losses from the discriminators just updated.
            of_generators: dict[str, Tensor] = {}
            with frozen(networks.discriminators()):
                for domain, fake in (("drag", fake_drag), ("selfie", fake_selfie)):
                    faces = shown(fake, f"{domain} fooling")
                    of_generators[f"fool_{domain}"] = losses.adversarial_loss(
                        networks.get_submodule(f"{domain}_global")(faces), 1
                    ) + losses.adversarial_loss(networks.get_submodule(f"{domain}_local")(faces), 1)
            selfie_again = learning["drag_to_selfie"](fake_drag).image
            drag_again = learning["selfie_to_drag"](fake_selfie).image
            difference = losses.reconstruction_loss
            of_generators["cycle"] = difference(selfie_again, selfie) + difference(drag_again, drag)
            of_generators["identity"] = difference(kept_drag, drag) + difference(kept_selfie, selfie)
            of_generators["cam"] = losses.cam_loss(*to_drag.cam_logits.split(count)) + losses.cam_loss(
                *to_selfie.cam_logits.split(count)
            )
            if selfie_mask is not None and drag_mask is not None:
                of_generators["background"] = losses.background_loss(
                    fake_drag, selfie, selfie_mask
                ) + losses.background_loss(fake_selfie, drag, drag_mask)
            generator_loss = reduce(add, (self.weights[name] * loss for name, loss in of_generators.items()))
        self._descend(self.generator_optimiser, generator_loss)
        clip_rho(networks)
        self.scaler.update()
        self._update_ema(inputs.ema_share)
        sums = {"generator": generator_loss, "discriminator": discriminator_loss}
        return {name: loss.detach() for name, loss in (of_discriminators | of_generators | sums).items()}

    def _autocast(self, cache_enabled: bool = True) -> torch.autocast:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled, cache_enabled)

    def _descend(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        with no_autocast(loss):
            self.scaler.scale(loss).backward()
            self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)  # at once: the other update needs the memory

    @torch.no_grad()
    def _update_ema(self, share: Tensor) -> None:
        average: list[Tensor] = list(self.ema.parameters())
        weights: list[Tensor] = list(self.networks.selfie_to_drag.parameters())
        difference = torch._foreach_sub(weights, average)
        torch._foreach_mul_(difference, share)
        torch._foreach_add_(average, difference)

    def _recover(self) -> None:
        """Undo what a step had begun that was not recorded to its end; its kernels have not run."""
        for optimiser in (self.generator_optimiser, self.discriminator_optimiser):
            optimiser.zero_grad(set_to_none=True)
            for name in ("grad_scale", "found_inf"):  # the scaler takes them away after an update that did not fail
                vars(optimiser).pop(name, None)
        self.scaler.update(self.scaler.get_scale())

    def state(self) -> dict[str, Any]:
        """Everything that decides the future, for a checkpoint."""
        return {name: getattr(self, name).state_dict() for name in STATE}

    def load_state(self, state: Any) -> None:
        """Take up what `state` returned, on whatever device and in whatever precision that was.

        Raises DragFaceError, naming the run, where it is the state of something else.
        """
        try:
            for name in STATE:
                target, content = getattr(self, name), state[name]
                if isinstance(target, torch.optim.Optimizer):
                    load_optimiser(target, content)
                elif content or name != "scaler":  # fp32 and bf16 save an empty one: fp16 then begins with its own
                    target.load_state_dict(content)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DragFaceError(
                f"The checkpoint of the run {self.config.run} does not fit ({error!s:.200}): name another run."
            ) from error
        self.graphed = self._graphed()  # the optimisers' state lies elsewhere now
