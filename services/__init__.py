"""The shop's services, and the chassis that hosts them."""
