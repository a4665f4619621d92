"""Other libraries that keep memories in PostgreSQL, each driven in an environment of its own."""
