"""Makes the files of the kit, bit for bit: ``python -m conformance.make [FOLDER]``."""
