"""The on-site agent: reads meters, signs what it read, keeps it until the collector has it."""
