"""OpenStack's compute, image, network and volume dialects, as clients see them."""
