"""Several devices that train one network together."""
