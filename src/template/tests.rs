//! Hostile and honest templates.
