"""What Batch has to give back: its files are downloaded and read, its figures collected, and both stored whole."""
