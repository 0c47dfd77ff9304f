"""The search for rollouts that no other beats: what is drawn, under which prior, how it is judged."""
