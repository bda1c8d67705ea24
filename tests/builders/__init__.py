"""What tests build: databases, actors, jobs, executions, attempts."""
