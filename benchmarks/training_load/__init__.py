"""What `bench training` measures: the training loop beside loops that know their task."""
