"""`ilt init` makes a project, `ilt upgrade` brings an older one to this version."""
