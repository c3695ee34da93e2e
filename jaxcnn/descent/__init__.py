"""How one run moves: start laws, update rules, the four scalars, certificates."""
