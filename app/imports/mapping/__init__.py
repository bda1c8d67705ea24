"""Makes jobs of commands: each module knows one kind of command, and `command` takes the others."""
