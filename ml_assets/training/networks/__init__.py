"""Networks over named arrays: those that are built in, and your own."""
