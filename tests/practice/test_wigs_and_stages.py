"""Wigs and stages surround the face and leave it as it is."""

from __future__ import annotations

import numpy as np

from dragface_lib.practice import paint


def test_a_wig_on_a_stage_changes_the_surroundings_and_not_the_face(astronaut):
    plain = paint(*astronaut, "classic", seed=2)
    dressed, again = (paint(*astronaut, "classic", seed=2, wig=True, stage=True) for _ in range(2))
    face, outside = plain.mask > 0.999, plain.mask == 0
    assert np.abs(dressed.photo.astype(int) - plain.photo)[face].max() <= 1
    assert (np.abs(dressed.photo.astype(int) - plain.photo)[outside].max(-1) > 10).mean() > 0.4
    assert (again.photo == dressed.photo).all()


def test_a_stage_alone_keeps_the_hair(astronaut):
    staged = paint(*astronaut, "classic", seed=2, stage=True)
    column, row = (int(place) for place in astronaut.points[139] - [0, 12])
    change = np.abs(staged.photo.astype(int) - astronaut.photo)
    assert change[row - 4 : row + 4, column - 10 : column + 10].mean() < 20
    assert change[:40, :40].mean() > 20
