"""What a version was trained with, and whether it comes out the same once more."""
