"""The online store in an LMDB file: the projection of the event log, and what is loaded."""
