"""The HTTP service in front of the conversation: routes, admission, pages, and the start and stop of a task."""
