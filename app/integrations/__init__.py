"""Services that register jobs, and how Jobwright and they call each other."""
