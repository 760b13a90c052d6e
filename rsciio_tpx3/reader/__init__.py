"""From a user's options to RosettaSciIO's signal dictionary."""
