"""The vocabulary that every room shares: systems, policies, clocks, settings, errors."""
