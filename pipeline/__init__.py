"""How the work flows: the graph, its options and its sources."""
