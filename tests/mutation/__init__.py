"""How much of what the planner and the engine say could be said otherwise without a test noticing."""
