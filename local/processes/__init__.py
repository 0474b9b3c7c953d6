"""Child processes: how they are started, watched, and ended together with the process that started them."""
