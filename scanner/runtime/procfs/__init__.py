"""A running container seen from outside, through the /proc of its host: nothing is executed in it."""
