"""What the provider costs beside its peers and beside the ideal, in one run: `make bench`."""
