"""Voices: one vendor a file, all behind the port `Voice`."""
