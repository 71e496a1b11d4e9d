"""Shared by all widgets: the messages between page and notebook, and how a page is joined from its files.

A widget's page must be a single module without imports. Each .js file is a module of its own for readers and linters,
with imports such as `import { element } from "./widgets.js";` and with exports; `script` removes both. So all names are
unique.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget

from .errors import DragFaceError

SHARED = Path(__file__).parent
IMPORT_OR_EXPORT = re.compile(r'^(import .* from ".*";\n|export (?!default))', re.MULTILINE)
PART = 512 << 10  # bytes of a file that are sent at once; a server may refuse messages above 1 MB a second
ANSWERS_KEPT = 8
FILES_KEPT = 3  # each view of a widget may be fetching one

Answer = tuple[dict[str, Any], Sequence[bytes]]


class AnsweringWidget(anywidget.AnyWidget):
    """A widget whose page asks questions, each of which gets one answer (`connect` in widgets.js is the page's end).

    A question has a `request` (its name), a `kind` and whatever `answer` needs. Each message back has the same
    `request` and a `state`: "progress" with a text, any number of times, then "done" or "error" with a text. Without
    an answer the page repeats its request; the widget answers again without doing the work twice. The kind "part"
    fetches one of the widget's `files`, by its name, part by part. Photos travel in buffers, never in traits: a
    notebook saves nothing of them. Malformed messages get no answer.
    """

    def __init__(self, **traits: Any):
        super().__init__(**traits)
        self.files: dict[str, bytes] = {}  # by name; only the newest are kept
        self._answers: dict[str, Answer] = {}  # by request; only the newest are kept
        self.on_msg(self._on_message)

    def answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        """The answer to a question of the page: its message and its buffers. Raises DragFaceError."""
        raise DragFaceError(f"There is no answer to {question['kind']}: run this cell again.")

    def tell(self, question: dict[str, Any], text: str) -> None:
        """Send a sentence about the progress of an answer."""
        self.send({"request": question["request"], "state": "progress", "text": text})

    def forget(self) -> None:
        """Drop the files and the answers that are kept for a page that asks again."""
        self.files, self._answers = {}, {}

    def close(self) -> None:
        """Take the widget away and free its memory."""
        self.forget()
        super().close()

    def _on_message(self, _: Any, question: Any, buffers: Sequence[Any]) -> None:
        words = [question.get(name) for name in ("request", "kind")] if isinstance(question, dict) else [None]
        if not all(isinstance(word, str) for word in words):
            return
        request = question["request"]
        if request not in self._answers:
            self._answers[request] = self._answer(question, [bytes(buffer) for buffer in buffers])
            self._answers = dict(list(self._answers.items())[-ANSWERS_KEPT:])
            self.files = dict(list(self.files.items())[-FILES_KEPT:])
        content, pictures = self._answers[request]
        self.send({"request": request, "state": "done", **content}, list(pictures))

    def _answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        try:
            if question["kind"] == "part":
                if question["file"] not in self.files:
                    raise DragFaceError("The file is no longer here: ask for it once more.")
                file, start = self.files[question["file"]], PART * question["part"]
                return {"parts": -(-len(file) // PART)}, [file[start : start + PART]]
            return self.answer(question, buffers)
        except DragFaceError as error:
            text = str(error)
        except Exception as error:  # nobody reads the log in which an exception of a message handler ends
            text = f"This did not work ({type(error).__name__}: {error}): run this cell again."
        return {"state": "error", "text": text}, []


def script(*paths: Path) -> str:
    """widgets.js and the modules at `paths` as one module; each stands behind those that it imports."""
    modules = [path.read_text(encoding="utf-8") for path in (SHARED / "widgets.js", *paths)]
    return "\n".join(IMPORT_OR_EXPORT.sub("", module) for module in modules)


def style(path: Path) -> str:
    """The style at `path` behind the style of all widgets."""
    return (SHARED / "widgets.css").read_text(encoding="utf-8") + path.read_text(encoding="utf-8")
