"""Why people were told of an execution, or were not, over REST."""
