"""Orders, and the saga that takes each of them to its end."""
