"""Ways to pay, and what was paid."""
