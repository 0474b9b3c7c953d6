"""What a deployment can serve in a day: the rate of each AWS call, the quotas of a new account, and the first limit."""
