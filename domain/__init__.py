"""What is passed along: requests, elements, statuses, prompts, text and audio."""
