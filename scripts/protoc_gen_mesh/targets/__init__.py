"""One module per target: `generate(contract)` returns files by name. Every module here is found and run."""
