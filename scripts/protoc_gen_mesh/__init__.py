"""The contract compiler: a protoc plugin that turns what a contract says into configuration."""
