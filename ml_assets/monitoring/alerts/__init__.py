"""Who is told what is wrong: one message for a cause, once, and once more when it is over."""
