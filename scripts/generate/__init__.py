"""Makes `gen/` from `protos/`."""
