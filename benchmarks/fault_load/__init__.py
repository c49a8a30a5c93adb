"""The loop under kill -9: processes, a client that keeps its answers, the verdict."""
