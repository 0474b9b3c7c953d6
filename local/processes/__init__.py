"""Child processes: how they are started, watched and ended with the one that started them."""
