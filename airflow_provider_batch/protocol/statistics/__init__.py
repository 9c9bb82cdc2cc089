"""Statistics of what was sent: the lists of it, the figures of each day, and the lines that they become."""
