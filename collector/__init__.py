"""Admits signed batches, keeps the originals, and makes series of them."""
