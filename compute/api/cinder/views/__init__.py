"""One module per noun of the Compute API."""
