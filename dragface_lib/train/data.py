"""Faces for training: decoded once, kept in memory, and drawn as a pure function of (seed, step).

Nothing about the order or the augmentation has to be stored: a resumed run asks for step n and gets what an
uninterrupted run would have got.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from ..archives import DAMAGES, read_faces
from ..crop.landmarks import WEIGHTS, mask_of_face
from ..errors import DragFaceError
from ..files import replace_atomically, sha256_of
from ..images import UnreadablePhoto, open_photo
from ..manifest import DOMAINS
from ..model.generator import to_unit

Drawn = TypeVar("Drawn")
ENLARGEMENT = 286 / 256  # faces are enlarged by this and then cropped, as published
FLAT = 2.0  # standard deviation of each colour, of 255, below which a picture is flat: norms divide by it


class MaskCache:
    """A file of face masks beside the faces, since computing a mask takes up to 40 ms.

    A mask is known by the bytes of its face and of the landmark network. A damaged file counts as empty; masks of
    faces that have gone leave it when it is written again.
    """

    def __init__(self, faces: str | Path):
        faces = Path(faces)
        self.path = faces / "masks.npz" if faces.is_dir() else faces.with_suffix(".masks.npz")
        self.network = sha256_of(WEIGHTS).encode()
        self.known: dict[str, np.ndarray] = {}
        self.used: dict[str, np.ndarray] = {}
        with suppress(*DAMAGES), np.load(self.path) as file:
            self.known = dict(file)

    def mask_of(self, content: bytes, face: np.ndarray) -> np.ndarray:
        """The mask, (S, S) uint8, 255 on the face. content: the bytes of its file; face: (S, S, 3) uint8 RGB."""
        key = hashlib.sha256(self.network + content).hexdigest()
        mask = self.known.get(key)
        if mask is None or mask.shape != face.shape[:2] or mask.dtype != np.uint8:  # a foreign file may hold anything
            mask = np.round(255 * mask_of_face(face)).astype(np.uint8)
        self.used[key] = mask
        return mask

    def save(self) -> None:
        """Write the masks that were used, if the folder is writable."""
        if self.used.keys() != self.known.keys():
            with suppress(DragFaceError), replace_atomically(self.path) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **self.used)  # type: ignore[arg-type]  # its stub has allow_pickle in the way


class FaceSet:
    """The faces of one domain and split, resized to `size` pixels.

    images: (N, 3, size, size) uint8. masks: (N, 1, size, size) uint8, 255 on the face, or None without `masks`.
    names: their files. unreadable: files left out, with the reason.
    digest: a hash over all pictures, by which a resumed run notices that its data has changed.
    """

    def __init__(self, faces: str | Path, domain: str, split: str, size: int, masks: MaskCache | None = None):
        images, mask_images, self.names, self.unreadable = [], [], [], []
        digest = hashlib.sha256()
        for name, content in read_faces(faces, domain, split):
            try:
                face = _open_face(content)
            except UnreadablePhoto as error:
                self.unreadable.append((name, str(error)))
                continue
            digest.update(hashlib.sha256(content).digest())
            images.append(_resized(face, size))
            if masks is not None:
                mask_images.append(_resized(masks.mask_of(content, face)[:, :, None], size))
            self.names.append(name)
        self.images = torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
        self.masks = torch.stack(mask_images) if mask_images else None
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.names)


def _open_face(content: bytes) -> np.ndarray:
    """Open a face. Raises UnreadablePhoto for a picture that is damaged, not square, or flat."""
    face = open_photo(content)
    height, width = face.shape[:2]
    if height != width:
        raise UnreadablePhoto(f"{width} x {height} pixels are not a square")
    if face.std(axis=(0, 1)).max() < FLAT:
        raise UnreadablePhoto("it has one flat colour")
    return face


def _resized(picture: np.ndarray, size: int) -> Tensor:
    """(S, S, C) uint8 to (C, size, size) uint8."""
    return TF.resize(torch.from_numpy(picture).permute(2, 0, 1), [size, size], antialias=True)


def load_domains(faces: str | Path, size: int, with_masks: bool = False) -> dict[tuple[str, str], FaceSet]:
    """All four sets by (domain, split); the training sets have masks on request.

    Raises DragFaceError when a domain has no training faces.
    """
    masks = MaskCache(faces) if with_masks else None
    sets = {}
    for domain in DOMAINS:
        sets[domain, "train"] = FaceSet(faces, domain, "train", size, masks)
        sets[domain, "test"] = FaceSet(faces, domain, "test", size)
    if missing := [f"{domain}/train" for domain in DOMAINS if not len(sets[domain, "train"])]:
        left_out = [f" ({name}: {reason})" for face_set in sets.values() for name, reason in face_set.unreadable]
        raise DragFaceError(
            f"There are no faces in {' and '.join(missing)} of {faces}{''.join(left_out[:1])}: crop photos first, with "
            "02_crop or the command, or name trainA and trainB of another project selfie/train and drag/train."
        )
    if masks is not None:
        masks.save()
    return sets


class Batch(NamedTuple):
    """Faces in -1..1 and, where a run has them, their masks: 1 on the face, 0 outside."""

    faces: Float[Tensor, "batch 3 size size"]
    masks: Float[Tensor, "batch 1 size size"] | None = None

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which a GPU copies while it computes."""
        return Batch(self.faces.pin_memory(), None if self.masks is None else self.masks.pin_memory())


class Sampler:
    """Draws the training faces of one domain: every face once an epoch, flipped and cropped at random."""

    def __init__(self, faces: FaceSet, size: int, seed: int):
        enlarged = round(size * ENLARGEMENT)
        self.size, self.seed, self.margin = size, seed, enlarged - size
        images = faces.images if faces.masks is None else torch.cat([faces.images, faces.masks], dim=1)
        self.images = TF.resize(images, [enlarged, enlarged], antialias=True)
        self._epoch, self._order = -1, torch.empty(0)

    def batch(self, step: int, count: int) -> Batch:
        """The faces of update number `step`, with masks where the set has them."""
        pixels = torch.stack([self._face(step * count + n) for n in range(count)])
        return Batch(to_unit(pixels[:, :3]), pixels[:, 3:] / 255 if pixels.shape[1] > 3 else None)

    def _face(self, number: int) -> Tensor:
        epoch, position = divmod(number, len(self.images))
        if epoch != self._epoch:
            order = torch.randperm(len(self.images), generator=random_of(self.seed, 0, epoch))
            self._epoch, self._order = epoch, order
        flip, top, left = torch.rand(3, generator=random_of(self.seed, 1, number)).tolist()
        top, left = int(top * (self.margin + 1)), int(left * (self.margin + 1))
        face = self.images[self._order[position], :, top : top + self.size, left : left + self.size]
        return face.flip(-1) if flip < 0.5 else face


def random_of(*key: int | str) -> torch.Generator:
    """A random generator that is a pure function of its key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def prefetched(draw: Callable[[int], Drawn], first: int, ahead: int = 3) -> Generator[Drawn, None, None]:
    """draw(first), draw(first + 1), …, each prepared by a thread during the steps before.

    Raises what `draw` raised. Close it, or its thread lives on.
    """
    with ThreadPoolExecutor(1, "faces") as pool:
        waiting = deque(pool.submit(draw, first + n) for n in range(ahead))
        for number in itertools.count(first + ahead):
            waiting.append(pool.submit(draw, number))
            yield waiting.popleft().result()
