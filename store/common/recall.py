"""Recalling what was computed before: names made of everything a result depends on, the code included."""
