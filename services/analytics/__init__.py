"""A read model of sales (CQRS), rebuilt by replay."""
