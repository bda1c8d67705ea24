"""Sample data: a shop database, jobs that work on it, and a week of their history, made and removed by one press."""
