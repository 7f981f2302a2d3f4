"""The executor: asks nodes for facts, walks a plan, keeps the journal. It decides nothing."""
