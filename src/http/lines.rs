//! Who is connected, and who of them would be missed least.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The connections that are open.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// So many requests of one client are answered at the same time.
    part: usize,
    /// Counts what happens on any of them, which tells earlier from later without a clock.
    turn: AtomicU64,
    open: Mutex<BTreeMap<u64, Weak<Line>>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    number: u64,
    peer: IpAddr,
    known: Arc<Known>,
    /// When it was last of use: accepted, asked something, or given something that it took.
    moved: AtomicU64,
    /// Requests that are being answered.
    under_way: AtomicUsize,
    end: Notify,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Line>);

/// A request of which the rest is still to come: it is its client that is waited for.
#[derive(Debug)]
pub(super) struct Awaited(Arc<Line>);

impl Lines {
    /// None yet, of which there is room for so many. However many one client asks for, a quarter is left for others.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Known {
            part: (most * 3 / 4).max(1),
            turn: AtomicU64::new(0),
            open: Mutex::default(),
        }))
    }

    /// One more, of a client with this address.
    pub(super) fn enter(&self, peer: IpAddr) -> Arc<Line> {
        let number = self.0.next_turn();
        let line = Arc::new(Line {
            number,
            peer: network(peer),
            known: Arc::clone(&self.0),
            moved: AtomicU64::new(number),
            under_way: AtomicUsize::new(0),
            end: Notify::new(),
        });
        self.0.open().insert(number, Arc::downgrade(&line));
        line
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.open().len()
    }

    /// Ends the one that was of no use for longest, of those of whoever has most; `false` when all of them wait for an answer of
    /// ours.
    pub(super) fn end_idlest(&self) -> bool {
        let lines = self.0.all();
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        lines.iter().for_each(|line| *counts.entry(line.peer).or_default() += 1);
        let idle = lines.iter().filter(|line| line.is_idle());
        let idlest = idle.min_by_key(|line| {
            let has = counts.get(&line.peer).copied().unwrap_or_default();
            (std::cmp::Reverse(has), line.moved.load(Ordering::Relaxed))
        });
        if let Some(line) = idlest {
            line.end.notify_one();
        }
        idlest.is_some()
    }
}

/// Whose an address is: who has one of the sixth version has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Known {
    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn all(&self) -> Vec<Arc<Line>> {
        self.open().values().filter_map(Weak::upgrade).collect()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Weak<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// It was of use just now.
    pub(super) fn moves(&self) {
        self.moved.store(self.known.next_turn(), Ordering::Relaxed);
    }

    /// A request came; it is being answered until what comes back is dropped. Nothing when enough of this client are.
    pub(super) fn begin(self: &Arc<Self>) -> Option<UnderWay> {
        self.moves();
        let all = self.known.all();
        let others = all.iter().filter(|line| line.peer == self.peer && !line.is_idle());
        if others.count() >= self.known.part {
            return None;
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay(Arc::clone(self)))
    }

    /// The rest of its request has to come; it is waited for until what comes back is dropped.
    pub(super) fn await_the_rest(self: &Arc<Self>) -> Awaited {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        Awaited(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Waits until it is to end.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.moves();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.known.open().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn client(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[tokio::test]
    async fn of_whoever_has_most_one_goes_first_and_a_request_that_does_not_come_whole_keeps_nothing_open() {
        let lines = Lines::new(4);
        let of_one = lines.enter(client(1));
        let of_many = [(); 3].map(|()| lines.enter(client(2)));
        let requests = of_many.each_ref().map(|line| line.begin().unwrap());
        assert!(lines.end_idlest(), "the others are being answered");
        of_one.ended().await;
        let rest = of_many[1].await_the_rest();
        assert!(lines.end_idlest());
        of_many[1].ended().await;
        drop((rest, requests));
        assert!(lines.end_idlest());
        of_many[0].ended().await;
    }

    #[test]
    fn no_client_has_all_that_can_be_answered_at_the_same_time() {
        let lines = Lines::new(4);
        let [first, second, third, fourth] = [1, 1, 1, 1].map(|number| lines.enter(client(number)));
        let requests = [first, second, third].map(|line| line.begin().unwrap());
        assert!(fourth.begin().is_none());
        assert!(lines.enter(client(2)).begin().is_some());
        drop(requests);
        assert!(fourth.begin().is_some());
    }

    #[test]
    fn a_client_has_one_address_or_one_network() {
        let of = |text: &str| text.parse().map(network);
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
        assert_eq!(of("2001:db8::1:2:3:4"), of("2001:db8::5"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
    }

    #[tokio::test]
    async fn the_one_that_was_of_no_use_for_longest_goes_and_none_that_waits_for_an_answer() {
        let lines = Lines::new(4);
        let [asking, silent, used] = [(); 3].map(|()| lines.enter(client(1)));
        let request = asking.begin().unwrap();
        used.moves();
        silent.moves();
        used.moves();
        assert!(lines.end_idlest());
        silent.ended().await;
        drop(silent);
        assert_eq!(lines.count(), 2);
        assert!(lines.end_idlest());
        used.ended().await;
        drop(used);
        assert!(!lines.end_idlest(), "what waits for an answer of ours stays");
        drop(request);
        assert!(lines.end_idlest());
        drop(asking);
        assert_eq!(lines.count(), 0);
    }
}
