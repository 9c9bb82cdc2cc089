"""What the operators and the sensor share: the connection, the wait, the failures, the outlets, the journal."""
