"""Adapters of ArtifactStore: a folder, a bucket of Cloud Storage."""
