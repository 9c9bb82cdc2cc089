"""Custom audiences: their members, and the conversations about them."""
