"""Job types: ready-made jobs that call the crawler, e-mail and discovery services of an installation, or clean up its database."""
