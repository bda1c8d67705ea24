"""What the page says and offers beside each field."""
