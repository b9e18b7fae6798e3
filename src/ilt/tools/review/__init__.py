"""Human review: which labels people should look at, out to them, back again, and what it says of the rest."""
