"""`python -m app.cli`: the command line of this installation, without a look at PATH."""

from __future__ import annotations

from app.cli import main

if __name__ == "__main__":
    main()
