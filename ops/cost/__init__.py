"""The cost of a deployment, computed from its synthesized templates and a dated list of prices."""
