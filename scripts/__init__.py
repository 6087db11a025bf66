"""The verbs of the project, and the Python beside them."""
