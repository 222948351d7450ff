"""What a run changed, what runs now, what it tries to reach: the container itself looked at, and joined with its image and launch."""
