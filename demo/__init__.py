"""The demo: users, claims, and a tour of real requests. It works against any deployment, through AWS
and HTTP APIs."""
