//! The rate, the breaker and the route by themselves, with time as an argument.

mod breaker;
mod pace;
mod route;
