"""What people see, in a notebook, a report or a terminal."""
