"""What comes from files and may be anything: checked before it is handled, and spelled out when shown."""
