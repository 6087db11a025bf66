"""Customers, their sessions and the keys that sign their tokens."""
