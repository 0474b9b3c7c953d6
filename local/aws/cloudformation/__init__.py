"""CloudFormation for types that moto cannot create: through API calls to ourselves, or through reported
stand-ins.
"""
