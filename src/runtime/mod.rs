//! What every long-running thing needs: a clock, an end, patience, a name, and a voice.

mod allowance;
mod backoff;
mod clock;
mod descriptors;
mod heap;
mod shutdown;
mod task;
mod telemetry;
mod timings;
mod zone;

pub use allowance::{TooLittle, claim_room};
pub use backoff::Backoff;
pub use clock::{Clock, Instant, ManualClock, SystemClock, pause};
pub use descriptors::{TooFewFiles, claim_files, file_limit, raise_file_limit};
pub use heap::{give_back, keep_one_heap};
pub use shutdown::{Shutdown, Signals};
pub use task::{Tasks, spawn_thread};
pub use telemetry::init_logging;
pub use timings::{SegmentTimings, Timing};
pub use zone::local_zone;
