"""A run that is trained on a fast local disk (`scratch`), and its copy on Google Drive (`run`), which outlives it.

While Drive has vanished, is full or read-only, training goes on, says so, and the next save tries again. The run
belongs to the machine whose mark lies in both folders (owner.json). Only a run's own files are copied or removed, and
of the checkpoints on Drive only those that this process restored, wrote, or found to be older.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import gmtime, monotonic, sleep, strftime, time
from typing import Any

from .. import files
from ..errors import DragFaceError
from ..files import numbered, open_to_read, replace_atomically, reserve, retry, sha256_of, write_atomically
from ..session import require_drive
from . import saving

BLOCK = 1 << 20
OWNER = "owner.json"  # the run's machine, start of training, and the time of its last update (0: ended)
RENEWED_EVERY = 10.0  # seconds between two updates of OWNER
DEAD_AFTER = 60.0  # seconds without an update after which another machine may take over the run


class Mirror:
    """Keeps the run in `scratch` and its copy `run`, such as a folder on Drive, equal.

    As a context it takes the run over from the machine that trained it before, brings it to `scratch` where it is
    further in `run`, and ends with a last copy. say: called with a sentence when a copy fails. fault: why `run` is not
    up to date, or "".
    """

    def __init__(self, run: Path, scratch: Path, say: Callable[[str], None]):
        self.run, self.scratch, self.say = run, scratch, say
        self.seconds = 0.0  # duration of the last copy
        self.fault, self.taken, self._started = "", False, False
        self._stamps: dict[str, tuple[int, int]] = {}  # size and time of each file of scratch at its last copy
        self._own: set[str] = set()  # checkpoints in `run` that this process may remove
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(2, "mirror")

    def __enter__(self) -> Mirror:
        try:
            retry(self._take, self.run)
            retry(self._restore, self.run)
        except OSError as error:
            raise DragFaceError(
                f"{self.run} cannot be used ({error.strerror}): choose a folder you may write to, or mount Drive again."
            ) from error
        self._pool.submit(self._stay_owner)
        return self

    def start(self) -> Future[None]:
        """Start a copy of the present state; returns at once. Raises DragFaceError when another machine has the run."""
        if self.taken:
            raise DragFaceError(self.fault)
        self._started = True
        return self._pool.submit(self._copy)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        at_once = kind is not None and not issubclass(kind, Exception)  # a second Ctrl-C
        try:
            for wait in (0.0, *files.RETRY_AFTER):
                if at_once or self.taken or not self._started or (wait and not self.fault):
                    break
                sleep(wait)
                self._pool.submit(self._copy).result()
        finally:
            self._ended.set()
            self._pool.shutdown(wait=not at_once, cancel_futures=at_once)
        if not at_once and not self.taken:
            with suppress(OSError, DragFaceError):
                self._renew(seen=0)

    def _take(self) -> None:
        """Become the run's owner. Raises DragFaceError when another machine is, or scratch holds something else."""
        reserve(self.run, self.scratch)
        reserve(self.scratch, self.run)
        require_drive(self.run)
        here, there = _owner(self.scratch), None
        with suppress(FileNotFoundError):
            there = _owner(self.run)
        ours = bool(here and there is not None and here.get("owner") == there.get("owner", here.get("owner")))
        if not ours and any(map(saving.is_of_a_run, saving.names_in(self.scratch))):
            raise DragFaceError(
                f"{self.scratch} does not hold the newest state of {self.run} (it is another run's, or the run was "
                "trained on elsewhere, or deleted): name another folder for --scratch, or delete this one."
            )
        if there and not ours:
            self._wait_for(there)
        owner = there.get("owner") if there and ours else uuid.uuid4().hex
        self._mark = {"owner": owner, "since": strftime("%Y-%m-%d %H:%M UTC", gmtime())}
        if ours:
            with suppress(OSError):  # Drive may be full or read-only for now
                self._renew(seen=int(time()))
            return
        self.run.mkdir(parents=True, exist_ok=True)
        for folder in (self.scratch, self.run):
            write_atomically(folder / OWNER, json.dumps(self._mark | {"seen": int(time())}).encode())

    def _wait_for(self, mark: dict[str, Any]) -> None:
        """Wait until the other machine counts as dead. Raises DragFaceError while it is alive."""
        seen = mark.get("seen")
        if not isinstance(seen, int) or not 0 < seen < 10**11 or time() - seen > DEAD_AFTER:
            return
        self.say(f"Looking for up to {DEAD_AFTER:.0f} s whether another machine still trains {self.run}.")
        end = monotonic() + min(DEAD_AFTER, seen + DEAD_AFTER - time())
        while monotonic() < end:
            now = (_owner(self.run) or {}).get("seen", seen)
            if now == 0:
                return
            if now != seen:
                raise DragFaceError(
                    f"{self.run} is being trained on another machine since {mark.get('since')}: stop it there, or "
                    f"delete {self.run / OWNER} to take the run over."
                )
            sleep(min(0.5, DEAD_AFTER))

    def _stay_owner(self) -> None:
        while not self._ended.wait(RENEWED_EVERY):
            with suppress(OSError, DragFaceError):
                self._renew(seen=int(time()))

    def _renew(self, seen: int) -> None:
        """Say in both folders that the run is being trained (seen: seconds since 1970), or no more (0)."""
        self._require_ownership()
        for folder in (self.scratch, self.run):
            with open(folder / OWNER, "r+") as file:  # in place: a new file each time would fill Drive's bin
                file.write(json.dumps(self._mark | {"seen": seen}))
                file.truncate()

    def _require_ownership(self) -> None:
        """Raises DragFaceError when another machine has taken the run over."""
        mark = _owner(self.run)
        self.taken = self.taken or mark is None or mark.get("owner", self._mark["owner"]) != self._mark["owner"]
        if self.taken:
            self.fault = (
                f"{self.run} was taken over by another machine: this training stops, and changes nothing there. "
                f"What it had reached is in {self.scratch}."
            )
            raise DragFaceError(self.fault)

    def _restore(self) -> None:
        """Copy the run from its folder to scratch if it has more steps there.

        Raises DragFaceError when there are checkpoints, none of them whole, and scratch has none.
        """
        here, there = (saving.checkpoints(folder / "checkpoints") for folder in (self.scratch, self.run))
        reached = next((path.name for path in here if saving.is_whole(path)), "")
        newer = [path for path in there if path.name > reached]
        whole = next((path.name for path in newer if saving.is_whole(path)), "")
        if newer and not whole and not reached:
            raise saving.all_damaged(self.run)
        if whole:
            names = [f"checkpoints/{path.name}" for path in newer if path.name <= whole]
            for reason in self._synchronise(self.run, self.scratch, names[: saving.GENERATIONS]):
                self.say(f"Left out: {reason}")
            retry((self.scratch / names[0]).stat, self.scratch)
        self._own = {path.name for path in there if path.name <= max(reached, whole)}

    def _copy(self) -> None:
        started, before = monotonic(), self.fault
        try:
            self._require_ownership()
            newest = saving.checkpoints(self.scratch / "checkpoints")[: saving.GENERATIONS]
            reason = " ".join(self._synchronise(self.scratch, self.run, [f"checkpoints/{p.name}" for p in newest])[:1])
        except (DragFaceError, OSError) as error:
            reason = str(error)
        if reason and not self.taken:
            reason = (
                f"{self.run} could not be brought up to date: {reason.rstrip('.')}. The newest state is in "
                f"{self.scratch} alone. The next save, or running it again, copies it."
            )
        self.fault = self.fault if self.taken else reason
        if self.fault and self.fault != before:
            self.say(self.fault)
        self.seconds = monotonic() - started

    def _synchronise(self, source: Path, target: Path, newest: list[str]) -> list[str]:
        """Copy the run's new files, checkpoints last; returns a reason for each picture that could not be copied.

        newest: names of checkpoints, listed first: the journal is then at least as long as they need it. Each makes
        room for the next. Raises DragFaceError or OSError when something else cannot be copied.
        """
        left_out = []
        names = sorted(saving.names_in(source))
        saving.remove_leftovers(target / name for name in saving.names_in(target))
        for name in filter(saving.NEEDED.fullmatch, names):
            self._bring(source, target, name)
        for name in filter(saving.PICTURES.fullmatch, names):
            try:
                self._bring(source, target, name)
            except (OSError, DragFaceError) as error:
                left_out.append(f"{name} cannot be copied: {error}")
        for name in newest:
            try:
                self._bring(source, target, name)
            except FileNotFoundError:
                if source != self.scratch or (source / name).exists():
                    raise
                continue  # a newer generation has replaced it and is copied next
            if target == self.run:
                self._require_ownership()
                self._own.add(Path(name).name)
                lying = numbered(target / "checkpoints", ".pt").values()
                saving.remove_old(path for path in lying if path.name in self._own)
        return left_out

    def _bring(self, source: Path, target: Path, name: str) -> None:
        """Copy a file unless it is unchanged, and compare the hashes of source and copy."""
        copy, local, digest = target / name, self.scratch / name, hashlib.sha256()
        if source == self.scratch:
            stamp = _stamp(local)
            if self._stamps.get(name) == stamp and os.path.isfile(copy):
                return
        if target == self.run:
            self._require_ownership()
        if copy.parent != target:  # never create the run's own folder: nothing may lie where Drive is mounted again
            copy.parent.mkdir(exist_ok=True)
        with open_to_read(source / name) as file, replace_atomically(copy, make_folder=False) as temporary:
            with open(temporary, "wb") as written:
                while block := file.read(BLOCK):
                    digest.update(block)
                    written.write(block)
            if sha256_of(temporary) != digest.hexdigest():
                raise DragFaceError(f"{copy} did not arrive as it was sent.")
        self._stamps[name] = stamp if source == self.scratch else _stamp(local)


def _stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def _owner(folder: Path) -> dict[str, Any] | None:
    """The mark in a folder: None without a mark, {} for a damaged one, which is nobody else's. Raises OSError."""
    if OWNER not in os.listdir(folder):
        return None
    with suppress(ValueError, RecursionError):
        mark = json.loads((folder / OWNER).read_bytes())
        return mark if isinstance(mark, dict) else {}
    return {}
