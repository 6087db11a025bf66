"""Schema of the catalog's own database."""
