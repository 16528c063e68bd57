"""A second implementation of pue/METHOD.md, and hostile inputs on which both have to say the same."""
