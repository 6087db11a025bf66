"""The stores asked the same on PostgreSQL and on tables in memory, to see that they answer the same."""
