"""The exact probability: the basin boundary and the integral over it."""
