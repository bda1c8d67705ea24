"""The documentation as a static site in English and German: `make docs`."""
