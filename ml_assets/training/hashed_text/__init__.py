"""The built-in network of hashed texts: trained by torch, scored by numpy."""
