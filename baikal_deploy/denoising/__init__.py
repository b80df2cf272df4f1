"""Planes in, planes out."""
