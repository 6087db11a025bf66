"""The door's own service: reflection and health of the public API."""
