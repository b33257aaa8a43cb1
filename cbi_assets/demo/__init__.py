"""`cbi demo`: a small synthetic drive from Databento's encoder, and every step run on it."""
