//! Receiving, at its worst and as it is: peers that misbehave, cameras as they really answer, streams that change under way.
//! Each loss is told apart in words that a person understands, and costs nobody else a frame.

mod bench;
mod crowd;
mod damage;
mod floods;
mod growth;
mod heads;
mod hostile;
mod real;
mod secrets;
mod sets;
mod streams;
mod ticks;
