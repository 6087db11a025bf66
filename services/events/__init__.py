"""Commands for those who look after events: `python -m services events`."""
