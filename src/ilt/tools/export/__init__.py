"""Models out to production: merged, as one adapter, or for CTranslate2; each with a card and checked."""
