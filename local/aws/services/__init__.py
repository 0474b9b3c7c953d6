"""Services that moto does not have, or has only as canned answers: one module per service."""
