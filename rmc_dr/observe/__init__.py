"""Read-only eyes. What could not be seen is unknown, never false or zero."""
