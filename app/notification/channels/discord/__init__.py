"""One way to reach people."""
