"""Words of the house: outcomes, counts, intervals, cells; no JAX."""
