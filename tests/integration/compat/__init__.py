"""The curl lines and code samples of the five source documents, sent to the product as they stand."""
