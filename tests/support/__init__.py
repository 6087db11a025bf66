"""Fixtures and small helpers that tests share."""
