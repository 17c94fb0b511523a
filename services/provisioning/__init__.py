"""What the services need to be there: looked at, made, mended."""
