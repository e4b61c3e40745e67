//! What the media tests are made with: a referee that reads stamps out of files, a bad network, the real daemon.
//! The camera itself is `camkeep::pipeline::demo::FakeCamera`.

// Each test file takes what it needs; a tool that none needs today is not dead.
#![allow(dead_code)]

pub(crate) mod daemon;
pub(crate) mod desk;
pub(crate) mod dialogues;
pub(crate) mod disk;
pub(crate) mod encoded;
pub(crate) mod footage;
pub(crate) mod lossy;
pub(crate) mod machine;
pub(crate) mod mirror;
pub(crate) mod mock;
pub(crate) mod peer;
pub(crate) mod player;
pub(crate) mod proxy;
pub(crate) mod referee;
pub(crate) mod replay;
pub(crate) mod storage;
pub(crate) mod viewer;
pub(crate) mod wait;
