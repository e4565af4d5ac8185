//! The program inside the test, and a client of its HTTP API.
