"""The long-running half of the worker: machine events, consoles, metadata, samples, pictures. Everything here may stop and start again."""
