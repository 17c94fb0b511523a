"""How people start and watch it: the command line."""

__version__ = "0.1.0"
