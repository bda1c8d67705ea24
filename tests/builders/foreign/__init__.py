"""Stores of 200 jobs of other schedulers, shaped as people have them."""
