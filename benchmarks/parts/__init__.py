"""The parts of a run: each module has one function, ``measure() -> Part``."""
