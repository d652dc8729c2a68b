"""Who runs the models, and where: requests, events, the worker."""
