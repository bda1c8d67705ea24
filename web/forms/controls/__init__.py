"""The controls of a form: one class for each kind."""
