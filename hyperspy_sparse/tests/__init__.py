"""What an installed copy tells of itself: ``pytest --pyargs hyperspy_sparse``. The repository has the whole suite."""
