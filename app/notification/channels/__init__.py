"""Ways to reach people: one folder a type, with its class, the schema of its settings and its help."""
