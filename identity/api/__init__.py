"""The wires that identity speaks."""
