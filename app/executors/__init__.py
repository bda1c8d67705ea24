"""Where attempts run: the base class of executors, and one module or folder for each of them."""
