"""Wigs and stages surround the face and leave it as it is."""

from __future__ import annotations

import numpy as np

from dragface_lib.practice import paint


def test_a_wig_on_a_stage_changes_the_surroundings_and_not_the_face(astronaut):
    plain = paint(*astronaut, "classic", seed=2)
    dressed = paint(*astronaut, "classic", seed=2, wig=True, stage=True)
    face, outside = plain.mask > 0.999, plain.mask == 0
    assert np.abs(dressed.photo.astype(int) - plain.photo)[face].max() <= 1
    assert (np.abs(dressed.photo.astype(int) - plain.photo)[outside].max(-1) > 10).mean() > 0.4
    again = paint(*astronaut, "classic", seed=2, wig=True, stage=True)
    assert (again.photo == dressed.photo).all()
    other = paint(*astronaut, "classic", seed=3, wig=True, stage=True)
    assert (other.photo != dressed.photo).mean() > 0.2


def test_a_stage_alone_keeps_the_hair(astronaut):
    plain, staged = paint(*astronaut, "classic", seed=2), paint(*astronaut, "classic", seed=2, stage=True)
    forehead = astronaut.points[139]
    column, row = int(forehead[0]), int(forehead[1]) - 12
    same = np.abs(staged.photo.astype(int) - plain.photo)[row - 4 : row + 4, column - 10 : column + 10]
    assert same.mean() < 20
