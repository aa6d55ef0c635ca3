// The frame.
