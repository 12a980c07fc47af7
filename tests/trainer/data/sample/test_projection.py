"""Bodies are as thick as their volume says, and lie on the image where their coordinates say."""

import numpy as np
import pytest

from trainer.data.sample.projection import Tube, View, ellipsoid, tubes


def test_an_ellipsoid_is_as_thick_as_its_volume_says() -> None:
    view = View(400)
    x, y = view.grid()
    thickness = ellipsoid(x, y, (2.0, -3.0), (4.0, 2.0, 5.0), tilt=0.5)
    assert thickness.max() == pytest.approx(10, rel=1e-3)
    assert float(thickness.sum()) * view.pixel**2 == pytest.approx(4 / 3 * np.pi * 4 * 2 * 5, rel=1e-3)


@pytest.mark.parametrize("radius", [0.4, 0.02], ids=["wide", "thinner than a pixel"])
def test_a_tube_keeps_its_volume_at_any_width(radius: float) -> None:
    view = View(300, angle=0.2)
    thickness = tubes(view, [Tube((-8, -3), (8, 5), (radius, radius))])
    expected = np.pi * radius**2 * np.hypot(16, 8)
    assert float(thickness.sum()) * view.pixel**2 == pytest.approx(expected, rel=0.1)


def test_a_view_maps_a_point_to_the_pixel_whose_coordinates_it_has() -> None:
    view = View(200, zoom=1.1, angle=0.1, dx=1.0, dy=-0.5)
    column, row = view.to_pixels(3.0, -4.0)
    x, y = view.grid()
    assert x[round(row), round(column)] == pytest.approx(3.0, abs=view.pixel)
    assert y[round(row), round(column)] == pytest.approx(-4.0, abs=view.pixel)


def test_a_texture_belongs_to_the_body_and_not_to_the_image() -> None:
    small = View(64, angle=0.1, dx=1).texture(np.random.default_rng(1), 2.0)
    large = View(256, angle=0.1, dx=1).texture(np.random.default_rng(1), 2.0)
    reduced = large.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.98
    assert 0.7 < large.std() < 1.3
