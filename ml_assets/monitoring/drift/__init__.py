"""What the champion reads and answers now, beside what it learnt from."""
