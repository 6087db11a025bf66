"""Counts stock and holds it for orders."""
