"""Readers of what other schedulers store: pickles, tables, keys and modules. They write nothing and run nothing."""
