"""Quantities with units, and where they go in HyperSpy's metadata tree."""
