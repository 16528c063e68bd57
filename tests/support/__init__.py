"""Fixtures that several test folders share: plain functions and context managers."""
