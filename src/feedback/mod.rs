//! What providers tell us afterwards.
