"""A volume in, a volume out."""
