"""How fast eventlab is: beside the bare command and beside the original's way, in one run, with one client."""
