"""The dialects of the object store. They run inside the data plane and never import one another."""
