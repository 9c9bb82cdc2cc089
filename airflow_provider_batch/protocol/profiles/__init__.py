"""Profiles: their attributes, and how they are written."""
