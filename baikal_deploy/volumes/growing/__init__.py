"""Inputs that another program is still writing."""
