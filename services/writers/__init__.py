"""Writers: who answers a prompt, one vendor a module."""
