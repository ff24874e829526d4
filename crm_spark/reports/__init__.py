"""Tables to pictures and pages for people."""
