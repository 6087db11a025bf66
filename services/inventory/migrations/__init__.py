"""Schema of inventory's own database."""
