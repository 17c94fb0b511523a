"""The steps: each a PTransform that wires one DoFn, whose logic is a function."""
