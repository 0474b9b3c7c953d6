"""Identity policies of the templates' roles, evaluated for each request that a role makes."""
