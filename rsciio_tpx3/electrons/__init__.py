"""Which hits are one electron."""
