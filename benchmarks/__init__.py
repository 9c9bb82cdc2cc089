"""Measure the cost of the provider next to its peers and to the ideal, in one run: `make bench`."""
