"""What things look like in JSON: one class a noun. They read rows and decide nothing."""
