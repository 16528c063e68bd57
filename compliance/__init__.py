"""The registry, findings with their evidence, alerts, and what people see of them."""
