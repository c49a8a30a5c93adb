"""Who may call: tokens, scopes, hosts and pages."""
