"""What the commands say while they work."""
