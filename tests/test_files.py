"""Files that matter are whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import os
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest

from dragface_lib import files
from dragface_lib.errors import DragFaceError
from dragface_lib.files import (
    Unavailable,
    kind_of,
    open_to_read,
    replace_atomically,
    reserve,
    sha256_of,
    write_atomically,
)


def test_a_written_file_has_its_bytes_and_leaves_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "new" / "a.bin", b"first")
    write_atomically(tmp_path / "new" / "a.bin", b"second")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"second"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def interrupted():
        with replace_atomically(path) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(number, tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DragFaceError, match=r"The disk is full, so .*a\.bin was not written: free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DragFaceError, match="choose a folder you may write to"):
        write_atomically(tmp_path / "file" / "a.bin", b"data")


def test_a_folder_without_fsync_such_as_drive_is_no_error(tmp_path, monkeypatch):
    flush = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "a.bin", b"data")
    assert (tmp_path / "a.bin").read_bytes() == b"data"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_written_file_is_decided_by_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a.bin", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == mode


def test_what_a_command_reads_is_never_what_it_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos/sub").mkdir(parents=True)
    Path("photos/me.jpg").write_bytes(b"me")
    os.symlink("photos/me.jpg", "link.jpg")
    os.link("photos/me.jpg", "hard.jpg")
    os.symlink("photos", "linked")
    os.symlink("loop.jpg", "loop.jpg")
    for path in (
        "photos/me.jpg",
        "link.jpg",
        "hard.jpg",
        "photos/sub/../me.jpg",
        "linked/me.jpg",
        tmp_path / "hard.jpg",
    ):
        with pytest.raises(DragFaceError, match="itself, or lies within it"):
            reserve(path, "other.jpg", "photos/me.jpg")
    for path in ("photos", "photos/new.jpg", "linked/sub/new.jpg", "photos/not/there/yet.jpg"):
        with pytest.raises(DragFaceError, match=r"photos itself, or lies within it: name another place\."):
            reserve(path, "photos")
    for path in ("new.jpg", "photos/new.jpg", "loop.jpg", "x" * 300):
        assert reserve(path, "photos/me.jpg", "nowhere.jpg", "loop.jpg" if path != "loop.jpg" else "") == Path(path)


def test_a_name_that_was_not_chosen_by_the_user_is_given_to_one_file_alone(tmp_path):
    (tmp_path / "me.jpg").touch()
    os.symlink("gone.jpg", tmp_path / "me_2.jpg")
    taken: set[str] = set()
    names = [
        reserve(tmp_path / name, taken=taken).name for name in ("me.jpg", "me.jpg", "ME.jpg", "you.jpg", "You.JPG")
    ]
    assert names == ["me_3.jpg", "me_4.jpg", "ME.jpg", "you.jpg", "You_2.JPG"]


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "a.bin").write_bytes(data)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("failures", [1, 3])
def test_a_read_that_fails_for_a_moment_is_tried_again(failures, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", (0, 0, 0))
    errors = [OSError(errno.EIO, "Input/output error")] * failures
    assert files.retry(Mock(side_effect=[*errors, b"content"]), tmp_path / "a") == b"content"


def test_a_drive_that_does_not_answer_is_not_taken_for_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", (0, 0, 0))
    for number in (errno.EIO, errno.ENOTCONN):
        with pytest.raises(files.Unavailable, match="a cannot be read now .*try again"):
            files.retry(Mock(side_effect=OSError(number, "No answer")), tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        files.retry((tmp_path / "a").read_bytes, tmp_path / "a")


def test_what_a_path_is_can_be_told_from_a_drive_that_does_not_answer(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"data")
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path / "file", tmp_path, tmp_path / "pipe", tmp_path / "file/below", tmp_path / "none", "a\0b"]
    assert [kind_of(path) for path in paths] == ["file", "folder", "other", "", "", ""]
    answers = iter([OSError(errno.ENOTCONN, "not connected"), os.stat(tmp_path)])

    def stat(path):
        if isinstance(answer := next(answers, OSError(errno.ENOTCONN, "not connected")), OSError):
            raise answer
        return answer

    monkeypatch.setattr(files, "RETRY_AFTER", (0.0,))
    monkeypatch.setattr(files.os, "stat", stat)
    assert kind_of(tmp_path) == "folder"
    with pytest.raises(Unavailable, match="cannot be read now"):
        kind_of(tmp_path)


def test_a_failed_read_is_not_taken_for_what_a_reader_makes_of_it(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"data")
    with open_to_read(tmp_path / "a.bin") as file:
        assert file.read() == b"data"

    def misjudge(file, failure):
        file.raw.failure = failure
        raise ValueError("no zip")

    with pytest.raises(OSError, match="Input/output"), open_to_read(tmp_path / "a.bin") as file:
        misjudge(file, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(ValueError, match="no zip"), open_to_read(tmp_path / "a.bin") as file:
        misjudge(file, None)


@pytest.mark.parametrize(("call", "message"), [("peek", "directory"), ("read", "directory"), ("seek", "seek")])
def test_a_read_of_any_kind_that_fails_is_no_damage(call, message, tmp_path):
    (tmp_path / "short").write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile), open_to_read(tmp_path / "short") as file:
        zipfile.ZipFile(file)
    # A folder cannot be read, and a pipe has no end to go to.
    stand_in = os.pipe()[0] if call == "seek" else os.open(tmp_path, os.O_RDONLY)

    def judge(file):
        os.dup2(stand_in, file.fileno())
        try:
            getattr(file, call)(*[0, os.SEEK_END][: 2 * (call == "seek")])
        except OSError:
            raise zipfile.BadZipFile("not a zip file") from None

    with pytest.raises(OSError, match=message), open_to_read(tmp_path / "short") as file:
        judge(file)
