"""Feature stores: our plug-ins for Feast, and the direct reader that serving uses."""
