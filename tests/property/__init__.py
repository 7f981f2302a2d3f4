"""Properties of plans, over generated names and orders."""
