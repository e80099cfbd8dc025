"""What a run leaves: the curve as a picture, the card, energy, licences, and commits while it trains."""
