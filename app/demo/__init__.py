"""`jobwright demo`: the service, one job a template on data that it makes, and a table of what became of each."""
