"""Checks the invariants of the shop across the services' databases: `python -m services audit`."""
