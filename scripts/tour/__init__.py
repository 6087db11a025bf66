"""The guided tour behind `scripts/demo`."""
