import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragface_lib.crop.find import find_faces
from dragface_lib.errors import DragFaceError
from dragface_lib.model import save_generator, starter_path
from dragface_lib.showcase import make_drag, transforming
from dragface_lib.showcase.looks import find_looks, load_look
from dragface_lib.showcase.views import attention, only, painted, places, remarks
from dragface_lib.showcase.widget import Showcase
from dragface_lib.widgets import script, style

ROOM = Path(transforming.__file__).parent


@pytest.fixture(scope="module")
def face(astronaut):
    return find_faces(astronaut)[0]


@pytest.fixture
def drag_of(astronaut, generator, monkeypatch):
    """Function that makes drag of the astronaut, in which exactly these faces were found; all bare ones."""

    def make(*faces):
        monkeypatch.setattr(transforming, "find_faces", lambda rgb: list(faces))
        drag = make_drag(astronaut, generator)
        return replace(drag, faces=tuple(face._replace(cam_logit=5.0) for face in drag.faces))

    return make


def test_nothing_is_said_of_a_face_where_all_is_well(drag_of, face):
    assert remarks(drag_of(face)) == ""


def test_a_profile_is_remarked(drag_of, face):
    nose = face.points.copy()
    eyes = float(np.linalg.norm(nose[1] - nose[0]))
    nose[55, 0] += 0.5 * eyes  # its tip lies beside the eyes' middle as on a head turned by half
    turned = face._replace(points=nose, box=face.box._replace(points=None))
    assert remarks(drag_of(turned)).startswith("This face is turned far to the side")


def test_a_face_at_the_edge_is_remarked(drag_of, face):
    cut = face._replace(points=face.points - np.float32([face.points[0, 0], 0]))
    assert "cut off by the edge" in remarks(drag_of(cut))


def test_a_face_that_is_made_up_already_is_remarked(drag_of, face):
    drag = drag_of(face, face)
    made_up = (drag.faces[0], drag.faces[1]._replace(cam_logit=-1.0))
    assert remarks(replace(drag, faces=made_up)).startswith("Face 2 is made up already")
    both = tuple(one._replace(cam_logit=-1.0) for one in drag.faces)
    assert remarks(replace(drag, faces=both)).startswith("Faces 1 and 2 are made up already")


def test_the_place_of_a_face_is_in_parts_of_the_photo(drag_of, face):
    ((left, top, width, height),) = places(drag_of(face))
    x, y = face.points[:2].mean(axis=0) / 512
    assert left < x < left + width
    assert top < y < top + height
    assert width < 0.4


def test_only_the_chosen_faces_are_painted_and_one_must_be(drag_of, face):
    beside = face._replace(points=face.points + np.float32([0, 250]))
    drag = drag_of(face, beside)
    changed = (painted(only(drag, [1]), 1) != drag.photo).any(axis=(1, 2))
    assert not changed[:200].any()
    assert changed[300:].any()
    assert only(drag, None) is drag
    with pytest.raises(DragFaceError, match="choose at least one"):
        only(drag, [])


def test_the_heat_map_is_brightest_where_the_generator_looked_most(drag_of, face):
    drag = drag_of(face)
    looked = np.zeros((16, 16), np.float32)
    looked[4:8, 4:8] = 1  # a quarter of the crop, above and left of its middle
    drag = replace(drag, faces=(drag.faces[0]._replace(attention=looked),))
    alone = attention(drag, alone=True).astype(int)
    size = alone.shape[0]
    hot = alone[int(0.3 * size) : int(0.45 * size), int(0.3 * size) : int(0.45 * size)].mean()
    cold = alone[int(0.55 * size) : int(0.8 * size), int(0.55 * size) : int(0.8 * size)].mean()
    assert hot > cold + 60


def test_the_looks_are_those_that_come_along_and_the_newest_runs_with_what_they_kept(tmp_path, generator):
    for run, age in (("older", 100), ("classic", 10)):
        save_generator(generator, tmp_path / run / "generator.safetensors", {})
        os.utime(tmp_path / run / "generator.safetensors", (1e9 - age, 1e9 - age))
    save_generator(generator, tmp_path / "classic" / "best.safetensors", {})
    for step in ("00000500", "00020000", "before7"):
        save_generator(generator, tmp_path / "classic" / "milestones" / f"step_{step}.safetensors", {})
    (tmp_path / "just begun").mkdir()
    looks = find_looks(tmp_path)
    assert list(looks) == [
        "classic",
        "goth",
        "classic, newest",
        "classic, best on test faces",
        "classic, step 20,000",
        "classic, step 500",
        "older, newest",
    ]
    assert all(path.is_file() for path in looks.values())
    assert looks["goth"] == starter_path("goth")
    assert list(find_looks(tmp_path / "no such folder")) == list(find_looks()) == ["classic", "goth"]


def test_the_widget_offers_what_it_is_given_beside_the_looks(tmp_path, generator):
    assert (Showcase().look, Showcase().looks) == ("classic", ["classic", "goth"])
    assert Showcase("goth").looks == ["goth", "classic"]
    assert Showcase(starter_path("goth")).look == "goth"
    assert Showcase(tmp_path / "classic.safetensors").looks == ["classic, as given", "classic", "goth"]
    assert Showcase(generator).look == "drag, as given"


def test_a_look_is_a_name_or_a_file_and_any_other_is_one_sentence(tmp_path, generator):
    assert load_look("goth").metadata["look"] == "goth"
    save_generator(generator, tmp_path / "mine.safetensors", {"look": "neon"})
    assert load_look(tmp_path / "mine.safetensors").metadata["look"] == "neon"
    with pytest.raises(
        DragFaceError, match=r"no look called disco: choose classic or goth, or name a generator file\.$"
    ):
        load_look("disco")


def test_a_widgets_modules_are_joined_into_one_each_once(tmp_path):
    (tmp_path / "main.js").write_text(
        'import { one } from "./one.js";\nimport { two } from "./two.js";\nexport default { one, two };\n'
    )
    (tmp_path / "one.js").write_text("export const one = 1;\n")
    (tmp_path / "two.js").write_text('import { one } from "./one.js";\nexport function two() { return one + 1; }\n')
    assert script(tmp_path / "main.js").split("\n\n") == [
        "const one = 1;",
        "function two() { return one + 1; }",
        "export default { one, two };\n",
    ]


def test_the_page_asks_nothing_of_other_addresses():
    joined = script(ROOM / "widget.js") + style(ROOM / "widget.css")
    assert "import " not in joined
    assert joined.count("http") == joined.count("http://www.w3.org/2000/svg") + joined.count("(https)")


def test_on_colab_the_custom_widget_manager_is_enabled_by_the_widget_itself():
    told = subprocess.run(
        [sys.executable, "-c", COLAB], capture_output=True, text=True, cwd=ROOM.parents[1], timeout=120, check=True
    )
    assert told.stdout.split() == ["enabled", "colab"]


# google.colab is not on the package index; this is what a widget sees of it.
COLAB = """
import sys, types
output = types.ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda: print("enabled")
output._widgets = types.SimpleNamespace(_installed_url="https://example.org")
sys.modules["google.colab.output"] = output
from dragface_lib import Showcase
bundle = Showcase()._repr_mimebundle_()
metadata = bundle[1] if isinstance(bundle, tuple) else {}
print("colab" if "colab" in str(metadata) else metadata)
"""
