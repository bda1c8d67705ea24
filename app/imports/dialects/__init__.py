"""Rules of other schedulers: when their entries fire, and what schedule a job gets for them. Nothing here uses app.triggers."""
