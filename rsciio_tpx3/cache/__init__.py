"""What is remembered between openings of a recording."""
