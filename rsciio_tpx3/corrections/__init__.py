"""What is wrong with a hit, and how it is put right."""
