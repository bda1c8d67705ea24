"""Telling people how an execution ended."""
