"""Every hospital has a look of its own, the same in every set."""

from itertools import pairwise

import numpy as np

from trainer.data.sample import generate
from trainer.data.sample.hospitals import Hospital
from trainer.data.sample.projection import FIELD

SIZE = 64


def test_every_hospital_has_a_look_of_its_own() -> None:
    houses = [Hospital.numbered(index) for index in range(26)]
    assert len({house.name for house in houses}) == 26
    for a, b in pairwise(houses):
        assert abs(a.gamma - b.gamma) + abs(a.marker_at[0] - b.marker_at[0]) > 0.01
    flat = np.full((128, 128), 2.0, np.float32)
    framed = [house.expose(flat, np.random.default_rng(0)) for house in houses]
    for house, picture in zip(houses, framed, strict=True):
        wide = int(house.border[1] / FIELD * 128)
        assert not picture[:wide].any(), "the collimator's border is black"


def test_the_marker_is_burnt_in_where_the_hospital_puts_it() -> None:
    for radiograph in generate(40, SIZE, 3, seed=11):
        house = Hospital.numbered(ord(radiograph.site[-1]) - ord("a"))
        column, row = round(house.marker_at[0] * SIZE), round(house.marker_at[1] * SIZE)
        assert radiograph.pixels[row - 4 : row + 5, column - 4 : column + 5].max() > 120
        assert (column < SIZE / 2) == (house.marker == "R")
