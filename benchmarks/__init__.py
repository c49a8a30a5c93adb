"""Measurements, one module per area; `ml-assets bench <area>` runs them."""
