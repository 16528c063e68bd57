"""What is expected, what drifts from it, and where the year will end."""
