"""The bus: events for other programs, and commands from them, over NATS."""
