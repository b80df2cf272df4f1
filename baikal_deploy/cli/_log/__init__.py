"""Messages of the commands while they work."""
