"""CloudFormation for types that moto cannot create: by API calls to ourselves, or by reported stand-ins."""
