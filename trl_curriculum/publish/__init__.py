"""What of a run goes to the Hub, and how it gets there."""
