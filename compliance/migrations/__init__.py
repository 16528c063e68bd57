"""Steps by which the registry database came to its present shape."""
