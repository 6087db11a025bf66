"""The services' databases in memory: the same stores, their statements written again in Python.

Each module names its functions after the statements they stand for. A statement is one step: it does all it does, or
raises and does nothing. `test_tables.py` holds them against PostgreSQL.
"""
