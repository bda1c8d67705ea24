"""The move of jobs from the old scheduler: what each becomes, and who runs it."""
