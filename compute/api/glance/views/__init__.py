"""The views of the Image API."""
