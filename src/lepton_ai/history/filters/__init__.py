"""Finding versions: the filter language, the orders, and what of a version they look at."""
