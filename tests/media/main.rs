//! Everything with real media and real sockets: a camera, a recorder, and a referee that decodes what was kept.

mod kit;
mod kit_tests;
