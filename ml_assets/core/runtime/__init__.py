"""Processes, clocks and faults: what runs, and what keeps one fault from stopping the rest."""
