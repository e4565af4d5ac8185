//! Against real peers and through the front door; one binary, so that it is linked once.

mod peers_aws;
mod peers_smtp;
mod support;
