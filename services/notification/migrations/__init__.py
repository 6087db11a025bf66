"""Schema of notification's own database."""
