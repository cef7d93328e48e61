"""What was written computes what torch computes."""
