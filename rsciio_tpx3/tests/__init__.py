"""What an installed copy tells of itself: ``pytest --pyargs rsciio_tpx3``. The repository has the whole suite."""
