"""What is out of the ordinary: how each series stands to its own past and to its peers, and what of it to tell."""
