"""Amazon Verified Permissions on the Cedar engine."""
