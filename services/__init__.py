"""What the steps call: one port a role, one adapter a vendor."""
