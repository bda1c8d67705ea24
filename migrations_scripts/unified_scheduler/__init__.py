"""The old scheduler, from which `jobwright migrate-jobs` migrates (`old.py`, run by `python -m migrations_scripts.unified_scheduler`), and
the class that programs may still use in its place (`compat.py`)."""
