//! A local stand-in for the providers, speaking their real protocols.
