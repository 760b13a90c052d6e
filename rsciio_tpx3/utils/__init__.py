"""What knows no detector: clock, units, files, text, packing, sorting, threads."""
