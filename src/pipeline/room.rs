//! Room for the bytes of a picture, used again and again. Pictures come at once from few cameras, and a keyframe is much memory
//! to be asked for anew; what comes and goes beside what is kept for seconds would leave holes that nothing fits into.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Room that nobody uses now.
static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// So much of it is kept, and none that is larger.
const MOST: usize = 3;
const LARGEST: usize = 1 << 20;

/// Bytes in a room that is somebody else's after them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Room(Vec<u8>);

impl Room {
    /// One in which nothing is.
    pub(super) fn empty() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(free.unwrap_or_default())
    }
}

impl Deref for Room {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsMut<[u8]> for Room {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        bytes.clear();
        if bytes.capacity() > 0 && bytes.capacity() <= LARGEST {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < MOST {
                free.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_empty_whoever_used_it_and_few_of_them_are_kept() {
        let mut rooms: Vec<Room> = (0..20).map(|_| Room::empty()).collect();
        rooms.iter_mut().for_each(|room| room.extend_from_slice(&[1; 100]));
        rooms.push(Room(Vec::with_capacity(LARGEST + 1)));
        drop(rooms);
        assert!(Room::empty().is_empty());
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(free.len() <= MOST && free.iter().all(|room| room.capacity() <= LARGEST));
    }
}
