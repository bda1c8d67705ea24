"""Rules of other schedulers: when their entries fire, worked out without app.triggers, and what schedule a job gets for them."""
