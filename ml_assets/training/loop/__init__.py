"""One training loop for every network: rows in mini-batches, best weights out.

Free of encoders, of systems and of kinds of targets. `train.py` is where to begin.
"""
