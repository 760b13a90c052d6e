"""CSR frames: the chunk class, how it is built, and how chunks become a dask array."""
