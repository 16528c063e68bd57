"""A seeded data-center plant, its meters on real protocols, and the demo that runs the whole chain in front of it."""
