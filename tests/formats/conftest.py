import pytest
from counted_data import counted


@pytest.fixture
def dense():
    return counted()
