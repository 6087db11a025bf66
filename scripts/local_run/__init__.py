"""The shop on this machine: real PostgreSQL, NATS and Envoy from their wheels, and our services."""
