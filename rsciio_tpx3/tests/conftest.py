"""Settings of the tests that come with the package: an installed copy has no pyproject.toml that would hold them."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that take seconds."""
    config.addinivalue_line("markers", "slow: takes seconds; excluded by -m 'not slow' while editing")
