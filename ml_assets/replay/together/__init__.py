"""Systems that read each other's feature views are replayed together."""
