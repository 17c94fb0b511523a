"""Figures of speed and memory that anyone can print again: `make bench`."""
