"""HDF5 files of unknown origin, read without trusting what they claim."""
