"""One file per job, named after the table it makes."""
