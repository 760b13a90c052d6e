"""Whether an installed copy works: ``pytest --pyargs hyperspy_sparse``. The repository has the whole suite."""
