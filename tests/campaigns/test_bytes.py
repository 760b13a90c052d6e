"""A few of the places that ``python -m tests.campaigns.bytes`` tries: no changed byte reads as other counts."""

import pytest

from tests.campaigns.bytes import FILES, campaign
from tests.fuzz import judge

pytestmark = pytest.mark.slow  # a campaign

PLACES = 60


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_noticed_or_means_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 60.0)  # kernels may be compiled in these runs
    monkeypatch.setattr(judge, "MEMORY_BYTES", 2**29)
    outcomes, faults = campaign(name, tmp_path / "run", PLACES, seed=1)
    assert not faults
    assert outcomes.total() == PLACES
