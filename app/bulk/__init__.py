"""One action on many jobs: what it would touch, and what became of each."""
