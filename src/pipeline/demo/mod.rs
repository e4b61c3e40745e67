//! A camera to test with: an RTSP server inside the process whose every frame carries, in the picture, the
//! instant at which it was made.
//!
//! People without a camera try camkeep on it (`camkeep demo-camera`); the media tests judge recordings by it,
//! because a referee that only decodes pictures can tell which frames were kept, and when each was taken.

mod camera;
mod encoder;
mod gate;
mod options;
mod pump;
mod relay;
mod scene;
mod server;
mod sound;
mod stamp;
mod storage;
mod stream;

pub use camera::{Count, FakeCamera};
pub use options::{AudioCodec, CameraOptions, DemoError, Login, Microphone, StreamOptions, VideoCodec};
pub use stamp::{LEVELS, STAMP_COLUMNS, STAMP_HEIGHT_DIVISOR, STAMP_ROWS, Stamp};
pub use storage::{Misbehaviour, ReportTimes, Speed, Storage, StorageOptions};
pub use stream::{SentFrame, Stream};
