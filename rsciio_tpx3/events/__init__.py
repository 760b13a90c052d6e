"""From bytes to hits, and from hits to scan positions."""
