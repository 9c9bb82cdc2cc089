"""One push of profiles, from the rows of any source to its result."""
