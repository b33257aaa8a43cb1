"""What is missing and what it costs, who approved it, and fetching exactly that."""
