"""A run is trained on the fast local disk, and copied to where it survives the session, such as Google Drive.

The copy is made by a thread, so training waits for no upload. Each file is written beside itself, read back and
compared by its hash, then moved into place; a checkpoint comes after everything else of its step, and older
generations go when a newer one is there. While the folder has vanished, is full or read-only, training goes on,
says so, and the next save tries again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import DragFaceError
from ..files import replace_atomically, sha256_of
from .checkpoints import Checkpoints, hash_file, recorded_hash
from .config import TrainConfig

BLOCK = 1 << 20


class Mirror:
    """Keeps `target` a copy of the run in `source`. say: called with a sentence when copying begins to fail, or works
    again. As a context it ends with a last copy, except where the process is being ended.
    """

    def __init__(self, source: Path, target: Path, generations: int, say: Callable[[str], None]):
        self.source, self.target, self.say = source, target, say
        self.checkpoints = Checkpoints(target / "checkpoints", generations)
        self.problem = ""  # of the last copy; empty when it went well
        self.seconds = 0.0  # that it took
        self._away = f"The folder {target} is not there."
        self._copied: dict[Path, tuple[int, int]] = {}
        self._wanted, self._ending, self._abandoned = threading.Event(), False, False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._abandoned = kind is not None and not issubclass(kind, Exception)
        self._ending = True
        self._wanted.set()
        self._thread.join()

    def push(self) -> None:
        """Have what is there now copied soon; returns at once."""
        self._wanted.set()

    def _work(self) -> None:
        ending = False
        while not ending:
            self._wanted.wait()
            self._wanted.clear()
            ending = self._ending  # asked before copying: what was saved during an earlier copy still needs a last one
            if self._abandoned:
                return
            started, before = time.monotonic(), self.problem
            try:
                self._copy_run()
                self.problem = ""
            except (DragFaceError, OSError) as error:
                # Whatever failed in a folder that went away meanwhile failed for that.
                self.problem = str(error) if self.target.is_dir() else self._away
            self.seconds = time.monotonic() - started
            if self.problem and not before:
                self.say(f"{self.target} could not be brought up to date: {self.problem} Training goes on.")
            elif before and not self.problem:
                self.say(f"{self.target} is up to date again.")

    def _copy_run(self) -> None:
        # Named first: the journal that is copied now is at least as long as these need it.
        checkpoints = Checkpoints(self.source / "checkpoints").newest_first()[: self.checkpoints.generations]
        for path in run_files(self.source):
            self._copy(path)
        for path in reversed(checkpoints):
            self._copy(hash_file(path))
            self._copy(path)
        if checkpoints:
            self.checkpoints.prune(checkpoints[0])
        for leftover in self.target.glob("**/.*.part"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)

    def _copy(self, path: Path) -> None:
        name = path.relative_to(self.source)
        if self._abandoned:
            return
        if not self.target.is_dir():  # never made anew: where Drive is to come back nothing may lie in its way
            raise DragFaceError(self._away)
        try:
            about = path.stat()
            stamp = (about.st_size, about.st_mtime_ns)
            if self._copied.get(name) == stamp and (self.target / name).exists():
                return
            (self.target / name).parent.mkdir(exist_ok=True)
            copy_whole(path, self.target / name, make_folder=False)
        except FileNotFoundError:
            if path.exists():
                raise
            return  # a newer generation has taken its place, and is copied next
        self._copied[name] = stamp


def run_files(run: Path) -> Iterator[Path]:
    """The files of a run besides its checkpoints."""
    for path in sorted(run.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and "checkpoints" not in path.relative_to(run).parts:
            yield path


def copy_whole(source: Path, target: Path, expected: str | None = None, make_folder: bool = True) -> None:
    """Copy a file; it is moved into place once what arrived has the hash of what was read.

    expected: SHA-256 that the source must have. Raises DragFaceError where a hash differs or the target cannot be
    written, OSError where the source cannot be read; an older target then stays.
    """
    digest = hashlib.sha256()
    with open(source, "rb") as file, replace_atomically(target, make_folder) as temporary:
        with open(temporary, "wb") as copy:
            while block := file.read(BLOCK):
                digest.update(block)
                copy.write(block)
        if expected not in (None, digest.hexdigest()):
            raise DragFaceError(f"{source} is damaged.")
        if sha256_of(temporary) != digest.hexdigest():
            raise DragFaceError(f"{target} did not arrive as it was sent.")


def restore(run: Path, work: Path) -> list[str]:
    """Bring the run in `run` to `work` where it is further there; returns a sentence for each checkpoint passed over.

    Raises DragFaceError when `run` cannot be made, or has checkpoints, none of them whole, and `work` has none either.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DragFaceError(
            f"{run} cannot be used ({error.strerror}): choose a folder you may write to, or mount Drive again."
        ) from error
    ours = next((path.name for path in Checkpoints(work / "checkpoints").newest_first() if _is_whole(path)), "")
    notes: list[str] = []
    for path in Checkpoints(run / "checkpoints").newest_first():
        if path.name <= ours:
            return notes
        target = work / "checkpoints" / path.name
        try:
            copy_whole(hash_file(path), hash_file(target))
            copy_whole(path, target, recorded_hash(path))
        except (DragFaceError, OSError) as error:
            if isinstance(error, DragFaceError) and not str(error).endswith("is damaged."):
                raise
            notes.append(f"The checkpoint {path.name} in {run} is damaged and was passed over.")
            continue
        for file in run_files(run):
            copy_whole(file, work / file.relative_to(run))
        return notes
    if notes and not ours:
        raise DragFaceError(
            f"No checkpoint in {run} can be read: delete the folder to start anew, or name another run."
        )
    return notes


def has_arrived(config: TrainConfig) -> bool:
    """Whether the newest checkpoint of a run lies whole in its folder, read back and compared by its hash."""
    newest = Checkpoints(config.run_folder / "checkpoints").newest_first()[:1]
    return any(_is_whole(Path(config.run) / "checkpoints" / path.name) for path in newest)


def _is_whole(path: Path) -> bool:
    try:
        return sha256_of(path) == recorded_hash(path)
    except OSError:
        return False
