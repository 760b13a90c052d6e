"""Between sparse signals and the arrays and programs of others."""
