"""Dense counts as a fixture."""

import pytest
from counted import counted


@pytest.fixture
def dense():
    return counted()
