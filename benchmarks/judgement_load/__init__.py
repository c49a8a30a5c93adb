"""What `ml-assets bench judgement` simulates."""
