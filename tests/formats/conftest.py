import pytest
from counted_data import counted


@pytest.fixture
def dense():
    return counted()


@pytest.fixture(scope="module")
def libertem():
    lt = pytest.importorskip("libertem.api", reason="LiberTEM is not installed")
    with lt.Context.make_with("inline") as context:
        yield context
