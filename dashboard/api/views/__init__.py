"""One module a noun: the shape of its bodies, and views that each call one verb."""
