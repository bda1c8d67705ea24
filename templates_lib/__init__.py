"""What a job can do. Knows nothing of the service around it."""
