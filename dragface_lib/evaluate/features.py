"""Networks that turn a picture into a row of numbers in which pictures of a kind lie close together, for `kid`.

    features = open_features()
    distance = kid(features.of(ours), features.of(real))

Inception v3 where its weights are at hand or can be fetched, else the middle of our own landmark network.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF

from ..crop.align import EYES, crop_face, similarity_between
from ..crop.landmarks import INPUT_EYES, INPUT_SIZE, Landmarks, to_input
from ..errors import DragFaceError
from ..files import sha256_of, write_atomically
from ..network import Client, NetworkError

INCEPTION = "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"
INCEPTION_SHA256 = "0cc3c7bd"  # how it begins: no more of it is published than stands in the file's name
INCEPTION_BYTES = 120_000_000
INCEPTION_SIZE = 299
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of ImageNet, as torchvision's weights expect
AT_ONCE = 16


@dataclass(frozen=True)
class Features:
    """A feature network. name: what a table calls it. prepare: a picture to the network's input (3, h, w).
    by_spread: whether each feature is to be taken in units of its spread among selfies, so that all count the same.
    """

    name: str
    network: nn.Module
    prepare: Callable[[np.ndarray], Tensor]
    by_spread: bool

    @torch.no_grad()
    def of(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """(N, D) float32 of one or more aligned faces (S, S, 3) uint8 RGB."""
        inputs = torch.stack([self.prepare(picture) for picture in pictures])
        return torch.cat([self.network(batch) for batch in inputs.split(AT_ONCE)]).cpu().numpy()


def open_features() -> Features:
    """Inception v3 with torchvision's weights, from torch's own cache or fetched into it (109 MB); where neither can
    be had, our own features, and a line on stderr says why.
    """
    try:
        return _inception(_inception_file())
    except DragFaceError as error:
        print(f"Distances are measured by our own features, for want of Inception's: {error}", file=sys.stderr)
        return own_features()


def own_features() -> Features:
    """The first half of the landmark network, 96 numbers. Its end has learned not to see make-up: there, painted faces
    lie less than half as far from bare ones, measured against the spread among bare ones.
    """
    network = Landmarks.load().network
    half = nn.Sequential(network.stem, *network.stages[:6], nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()

    def prepare(picture: np.ndarray) -> Tensor:
        left, right = EYES * len(picture) - 0.5
        matrix = similarity_between(left, right, INPUT_EYES * INPUT_SIZE - 0.5)
        return to_input(torch.from_numpy(crop_face(picture, matrix, INPUT_SIZE))[None])[0]

    return Features("our landmark network, 96 features", half, prepare, True)


def _inception_file() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION.rpartition("/")[2]
    if not path.is_file():
        print("Fetching Inception v3 (109 MB), once.", file=sys.stderr)
        data = Client().get(INCEPTION, INCEPTION_BYTES)
        if not hashlib.sha256(data).hexdigest().startswith(INCEPTION_SHA256):
            raise NetworkError(f"{INCEPTION} has other bytes than expected: not stored.")
        write_atomically(path, data)
    elif not sha256_of(path).startswith(INCEPTION_SHA256):
        raise DragFaceError(f"{path} is damaged: delete it.")
    return path


def _inception(path: Path) -> Features:
    network = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.fc = nn.Identity()  # the 2,048 features that the classifier would see

    def prepare(picture: np.ndarray) -> Tensor:
        face = torch.from_numpy(picture).permute(2, 0, 1)
        resized = TF.resize(face, [INCEPTION_SIZE] * 2, antialias=True)
        return TF.normalize(resized / 255, MEAN, STD)

    return Features("Inception v3 (torchvision's ImageNet weights), 2,048 features", network.eval(), prepare, False)
