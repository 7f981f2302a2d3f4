"""Simulated hardware nodes: worlds, twins of the verbs, faults, invariants, and the explorer that tries them all."""
