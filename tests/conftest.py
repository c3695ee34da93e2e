"""Every test runs in double precision, with silent broadcasting between ranks forbidden."""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
