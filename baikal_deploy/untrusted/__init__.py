"""Handling of what comes from files and may be anything: checked first, and spelled out when shown."""
