"""The files of an installation: marker, layout, modes, checksums."""
