//! Which kind an error is, so that HTTP and exit codes are decided once.

/// What kind of trouble an error is. Every error enum of a room says which of these it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// What was asked for does not exist.
    NotFound,
    /// What was asked is malformed or out of range.
    Invalid,
    /// It contradicts what is there.
    Conflict,
    /// Somebody else, a camera or a disk, does not answer; trying later may help.
    Unavailable,
    /// No room is left.
    Full,
    /// What was read cannot be believed.
    Corrupt,
    /// It may not be done.
    Forbidden,
    /// Our own mistake.
    Internal,
}
