"""Files that come in: whole in one request, or in pieces that go on after a cut (tus 1.0.0)."""
