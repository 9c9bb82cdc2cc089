"""What every task of ours shares: the connection, the wait, the end of a task."""
