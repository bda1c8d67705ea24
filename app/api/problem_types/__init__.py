"""The types of problems: what each one means, and the address that identifies it."""
