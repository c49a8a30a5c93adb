"""Measurements, one module an area; `ml-assets bench <area>` runs them."""
