from dataclasses import replace

import numpy as np
import pytest

from dragface_lib.crop.align import interocular
from dragface_lib.crop.find import find_faces
from dragface_lib.errors import DragFaceError
from dragface_lib.showcase import transform as transforming
from dragface_lib.showcase.transform import make_drag


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
    assert drag_of(face).remarks == ""


def test_a_profile_is_remarked(drag_of, face):
    nose = face.points.copy()
    eyes = float(np.linalg.norm(nose[1] - nose[0]))
    nose[55, 0] += 0.5 * eyes  # its tip lies beside the eyes' middle as on a head turned by half
    turned = face._replace(points=nose, box=face.box._replace(points=None))
    assert drag_of(turned).remarks.startswith("This face is turned far to the side")


def test_a_face_at_the_edge_is_remarked(drag_of, face):
    cut = face._replace(points=face.points - np.float32([face.points[0, 0], 0]))
    assert "cut off by the edge" in drag_of(cut).remarks


def test_a_face_that_is_made_up_already_is_remarked(drag_of, face):
    drag = drag_of(face, face)
    made_up = (drag.faces[0], drag.faces[1]._replace(cam_logit=-1.0))
    assert replace(drag, faces=made_up).remarks.startswith("Face 2: made up already")
    both = tuple(one._replace(cam_logit=-1.0) for one in drag.faces)
    assert replace(drag, faces=both).remarks.startswith("Face 1, 2: made up already")


def test_a_phone_before_the_mouth_a_dark_photo_and_a_face_hardly_changed_are_remarked(drag_of, face, astronaut):
    drag = drag_of(face)
    dark = replace(drag, photo=(astronaut * 0.15).astype(np.uint8))
    assert dark.remarks == "This face is very dark: a photo in better light shows more."
    photo, (x, y), eyes = astronaut.copy(), face.points[[87, 93]].mean(axis=0), interocular(face.points)
    photo[int(y - 0.9 * eyes) : int(y + 1.2 * eyes), int(x - 0.9 * eyes) : int(x + 0.9 * eyes)] = (25, 25, 30)
    assert replace(drag, photo=photo).remarks.startswith("This face is partly hidden, perhaps by a phone")
    (painted,) = drag.faces
    unchanged = replace(drag, faces=(painted._replace(change=painted.change * np.float32(0.02)),))
    assert unchanged.remarks == "This face is hardly changed: choose another look, or more strength."


def test_only_the_chosen_faces_are_painted_and_one_must_be(drag_of, face):
    beside = face._replace(points=face.points + np.float32([0, 250]))
    drag = drag_of(face, beside)
    changed = (drag.only([1]).view(1) != drag.photo).any(axis=(1, 2))
    assert not changed[:200].any()
    assert changed[300:].any()
    assert drag.only(None) is drag
    with pytest.raises(DragFaceError, match="choose at least one"):
        drag.only([])


def test_the_heat_map_is_brightest_where_the_generator_looked_most(drag_of, face):
    drag = drag_of(face)
    looked = np.zeros((16, 16), np.float32)
    looked[4:8, 4:8] = 1  # a quarter of the crop, above and left of its middle
    drag = replace(drag, faces=(drag.faces[0]._replace(attention=looked),))
    alone = drag.view(0, alone=True, heat=True).astype(int)
    size = alone.shape[0]
    hot = alone[int(0.3 * size) : int(0.45 * size), int(0.3 * size) : int(0.45 * size)].mean()
    cold = alone[int(0.55 * size) : int(0.8 * size), int(0.55 * size) : int(0.8 * size)].mean()
    assert hot > cold + 60
