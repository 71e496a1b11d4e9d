"""The README's pictures can be drawn again."""

from pathlib import Path

import numpy as np
import pytest

from dragface_lib.images import open_photo

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(TOOLS))
    import pictures

    monkeypatch.setattr(pictures, "DOCS", tmp_path)
    return pictures


@pytest.mark.parametrize(("command", "name"), [("crop", "crop.jpg"), ("how", "how_it_works.png")])
def test_a_picture_is_drawn_like_the_one_in_the_documents(tool, tmp_path, command, name):
    tool.COMMANDS[command]()
    drawn, published = open_photo(tmp_path / name), open_photo(TOOLS.parent / "docs" / name)
    assert drawn.shape == published.shape
    assert abs(drawn.astype(int) - published).mean() < 10


def test_a_face_is_shown_at_full_size_at_three_strengths(tool):
    sheet = tool.at_full_size(tool.portraits()[1])
    before, drag, strongest = (picture[:300].astype(int) for picture in np.split(sheet, 3, axis=1))
    assert 0 < abs(drag - before).mean() < abs(strongest - before).mean()
