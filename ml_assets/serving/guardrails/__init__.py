"""What takes a version out at once, and who sees to it: see `core.policies.Guardrails`."""
