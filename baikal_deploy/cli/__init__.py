"""Command line: options to configuration, errors to messages and exit codes."""
