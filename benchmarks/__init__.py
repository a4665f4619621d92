"""What is measured against the limit and against peers."""
