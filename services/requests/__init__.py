"""Requests: how encoded batch requests travel from whoever asks to whoever makes them."""
