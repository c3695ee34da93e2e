"""Many runs at once: lanes, restart addresses, devices; no mathematics."""
