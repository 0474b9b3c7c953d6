"""Human review: which interactions people look at, how they label them, and what follows from the labels."""
