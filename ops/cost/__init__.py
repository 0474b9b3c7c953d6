"""What a deployment costs: computed from its synthesized templates and a list of prices with a date."""
