"""Feast's plug-in points: offline store, online store, batch engine, provider."""
