"""Charge of simulated electrons that is shared by pixels."""

import math

import numpy as np
import pytest

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.simulate.electrons import Electrons
from rsciio_tpx3.simulate.hits import HitModel, PixelTable, _shared


@pytest.mark.parametrize(("layout", "gap"), [("quad", 3), ("quad", 0), ("single", 0)])
def test_charge_is_shared_as_one_electron_after_the_other_would(layout, gap):
    """By a plain loop over 3 x 3 pixels, at the borders of chips and of the detector, and beyond."""
    model, table, rng = HitModel(), PixelTable(make_layout(layout, gap=gap)), np.random.default_rng(3)
    height, width = table.sig_shape
    n = 400
    y, x = rng.uniform(-2, height + 2, n), rng.uniform(-2, width + 2, n)
    y[::3], x[1::3] = height / 2 + rng.uniform(-5, 5, len(y[::3])), width / 2 + rng.uniform(-5, 5, len(x[1::3]))
    electrons = Electrons(position=np.zeros(n, np.int64), time=np.arange(n), y=y, x=x)
    found = _shared(model, table, electrons, np.random.default_rng(7))
    normal = np.random.default_rng(7).standard_normal((n, 3))
    expected = []
    for i in range(n):
        cy, cx = y[i] + model.wander * normal[i, 0], x[i] + model.wander * normal[i, 1]
        charges = {}
        for row in range(math.floor(cy) - 1, math.floor(cy) + 2):
            for column in range(math.floor(cx) - 1, math.floor(cx) + 2):
                if 0 <= row < height and 0 <= column < width and table.collector[row * width + column] >= 0:
                    share = _part(row, cy, model.cloud) * _part(column, cx, model.cloud)
                    pixel = int(table.collector[row * width + column])
                    charges[pixel] = charges.get(pixel, 0) + share * (model.energy + model.energy_spread * normal[i, 2])
        expected += [(pixel, charge, i) for pixel, charge in charges.items() if charge >= model.threshold]
    pixel, charge, owner = map(np.array, zip(*expected))
    np.testing.assert_array_equal(found[0], pixel)
    np.testing.assert_allclose(found[1], charge, rtol=1e-12)
    np.testing.assert_array_equal(found[2], owner)


def _part(place, centre, cloud):
    """Share of a cloud in the pixel that begins at a place; of the outer ones of three, all beyond as well."""

    def below(border):
        return 0.5 * (1 + math.erf((border - centre) / (cloud * math.sqrt(2))))

    own = math.floor(centre)
    if place == own:
        return below(place + 1) - below(place)
    return below(own) if place < own else 1 - below(own + 1)
