"""Products and how to find them."""
