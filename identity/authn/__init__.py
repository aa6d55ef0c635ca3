"""Each module turns one way of showing who one is into a Context."""
