"""A view's answers by several workers, each of which has some of the entities."""
