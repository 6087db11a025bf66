"""What every service shares, one small module per concern."""
