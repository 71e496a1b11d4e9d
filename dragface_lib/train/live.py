"""A run while it trains, in a notebook: losses, the newest test faces with attention maps, how long it will take.

train(config, watch=LiveView(config))
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

from .config import TrainConfig
from .journal import read_journal, save_run_plot, status
from .pictures import samples

SECONDS = 10.0  # between two drawings, so that looking does not slow the training down


class LiveView:
    """Call it, and what the notebook's cell shows is drawn anew, from the journal and the samples of the run alone:
    after a restart it shows at once what the earlier sessions did.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self._shown: dict[str, Any] = {}
        self._next = 0.0

    def __call__(self) -> None:
        """Draw, unless that was done just now."""
        if monotonic() < self._next:
            return
        rows = read_journal(self.config.run_folder / "journal.jsonl")
        self._show("status", text=status(rows, self.config.steps))
        if rows:
            save_run_plot(rows, self.config.run_folder / "losses.png", Path(self.config.run).name)
            self._show("losses", picture=self.config.run_folder / "losses.png")
        if found := samples(self.config.run_folder):
            self._show("faces", picture=found[-1][0])
        self._next = monotonic() + SECONDS

    def _show(self, part: str, text: str = "", picture: Path | None = None) -> None:
        from IPython.display import Image, Markdown, display

        content = Image(picture.read_bytes()) if picture else Markdown(text)
        if part in self._shown:
            self._shown[part].update(content)
        else:
            self._shown[part] = display(content, display_id=True)
