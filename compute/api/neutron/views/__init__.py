"""One module per noun of the Networking API."""
