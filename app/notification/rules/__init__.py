"""Alert rules: when to tell whom, and what the outcome of a run says about each of them."""
