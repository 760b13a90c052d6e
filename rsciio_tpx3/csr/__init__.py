"""What a chunk is: counted detector frames as CSR rows that behave like a NumPy array."""
