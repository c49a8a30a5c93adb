"""Feature views that one system reads of another: whose they are, and whether they fit."""
