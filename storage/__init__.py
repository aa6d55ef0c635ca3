"""The object store. It has no content yet: its engine and dialects arrive with their own issue."""
