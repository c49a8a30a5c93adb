"""The parts of `ml-assets bench serving`: load, servers, peers, and what may go wrong."""
