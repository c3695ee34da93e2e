"""How one run moves: start laws, update rules, certificates."""
