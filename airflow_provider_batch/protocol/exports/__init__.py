"""Exports of profiles: what they hold, how they are requested, and how their files are read."""
