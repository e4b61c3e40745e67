//! How the C library keeps memory.
#![allow(
    unsafe_code,
    reason = "mallopt and malloc_trim have no safe binding; one of the two exceptions of this house"
)]

/// What is larger has pages of its own, which go back to the system at once. No usual picture is: the system clears each page that
/// it hands out, which for keyframes came to a twentieth of all work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 2 * 1024 * 1024;

/// So much that is free stays with us for the next picture.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE: i32 = 4 * 1024 * 1024;

/// Keeps all threads to one heap. A heap of their own for every few threads never gives back what its busiest moment took,
/// and pictures wander from thread to thread: with eight cameras that is a fifth of all memory, and no time is saved by it.
///
/// To be called before there are any: what a thread has it keeps.
pub fn keep_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let is_set = [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, SPARE),
    ]
    // SAFETY: it sets a number in the allocator, under the allocator's own lock, and takes no pointers.
    .map(|(what, value)| unsafe { libc::mallopt(what, value) } == 1)
    .iter()
    .all(|is_set| *is_set);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let is_set = false;
    if !is_set {
        tracing::debug!("memory is kept as the system has it");
    }
}

/// Gives back to the system what is free, also where it lies between what is not. Takes some milliseconds, so it is for when much
/// was let go that is not needed again.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it works under the allocator's own lock, on what nobody has, and takes no pointers.
    unsafe {
        libc::malloc_trim(0);
    }
}
