"""A network that answers to everything and leads nowhere, for a guest that is watched."""
