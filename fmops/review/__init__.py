"""Human review: which interactions people look at, what they say of them, and what follows from it."""
