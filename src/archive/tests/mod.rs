//! Archives against cameras that are played by a small server: what they say is taken from the ways of several vendors.

mod camera;
mod clocks;
mod hostile;
mod profile_g;
mod urls;
