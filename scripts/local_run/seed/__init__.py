"""What the shop sells when it opens."""
