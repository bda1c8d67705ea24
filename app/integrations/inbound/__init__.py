"""Inbound webhooks: addresses of jobs, and what becomes of the requests that come to them."""
