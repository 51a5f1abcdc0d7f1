// SPDX-License-Identifier: GPL-2.0

//! Indices of a descriptor ring whose hardware may restart at slot 0 at any time.
//!
//! The hardware's index (the ring head) is a read-only register and starts at 0 after a reset, while
//! software stands anywhere in the ring. So software counts with free-running 32-bit indices, and an offset lies
//! between both views (paper, section on descriptor rings):
//!
//! ```text
//! slot = (index - offset) mod size
//! ```
//!
//! When the device is replaced, [`Ring::rebase`] moves the offset so that the next descriptor to clean sits in slot 0.
//!
//! Sizes are powers of two: the modulo is then a mask, also across the wrap of the 32-bit indices. The hardware
//! would take any multiple of 8; a driver rounds up what the user asked for (see [`Ring::round_size`]), as
//! several upstream drivers do.

/// Smallest ring.
pub const MIN_SIZE: u32 = 8;

/// Largest ring of the supported chips.
pub const MAX_SIZE: u32 = 4096;

/// The index part of a ring: who owns which slot.
///
/// Descriptors from `next_to_clean` up to `next_to_use` are posted to the hardware; one slot
/// always stays unused, because for the hardware head == tail means empty. Plain data, under the lock of the queue.
///
/// # Examples
///
/// ```
/// use compsc_core::ring::Ring;
///
/// let mut ring = Ring::new(8);
/// ring.post(5);
/// ring.clean(3);
/// assert_eq!((ring.used(), ring.unused()), (2, 5));
/// assert_eq!(ring.slot(ring.next_to_clean()), 3);
/// // A new device starts at slot 0: everything moves down by 3 slots.
/// assert_eq!(ring.rebase(), 3);
/// assert_eq!(ring.slot(ring.next_to_clean()), 0);
/// assert_eq!(ring.tail(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    mask: u32,
    offset: u32,
    next_to_use: u32,
    next_to_clean: u32,
}

impl Ring {
    /// An empty ring of `size` descriptors, all indices 0.
    ///
    /// # Panics
    ///
    /// When `size` is not a power of two from [`MIN_SIZE`] to [`MAX_SIZE`].
    pub const fn new(size: u32) -> Self {
        assert!(size.is_power_of_two() && size >= MIN_SIZE && size <= MAX_SIZE);
        Self {
            mask: size - 1,
            offset: 0,
            next_to_use: 0,
            next_to_clean: 0,
        }
    }

    /// A ring from its parts, for a queue whose two sides keep their indices apart. `size` is that of a
    /// ring made by [`new`](Self::new).
    #[inline(always)]
    pub const fn from_parts(size: u32, offset: u32, next_to_clean: u32, next_to_use: u32) -> Self {
        debug_assert!(size.is_power_of_two());
        Self {
            mask: size.wrapping_sub(1),
            offset,
            next_to_use,
            next_to_clean,
        }
    }

    /// The nearest size at or above `wanted` that a ring can have.
    pub const fn round_size(wanted: u32) -> u32 {
        if wanted <= MIN_SIZE {
            MIN_SIZE
        } else if wanted >= MAX_SIZE {
            MAX_SIZE
        } else {
            wanted.next_power_of_two()
        }
    }

    /// Number of slots.
    #[inline(always)]
    pub const fn size(&self) -> u32 {
        self.mask + 1
    }

    /// The slot of an index.
    #[inline(always)]
    pub const fn slot(&self, index: u32) -> u32 {
        index.wrapping_sub(self.offset) & self.mask
    }

    /// The index after `index`.
    #[inline(always)]
    pub const fn next(index: u32) -> u32 {
        index.wrapping_add(1)
    }

    /// The index that will be posted next.
    #[inline(always)]
    pub const fn next_to_use(&self) -> u32 {
        self.next_to_use
    }

    /// The oldest index that is still posted.
    #[inline(always)]
    pub const fn next_to_clean(&self) -> u32 {
        self.next_to_clean
    }

    /// The offset between software's and hardware's view.
    #[inline(always)]
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// The slot of the index that will be posted next: the value for the tail register.
    #[inline(always)]
    pub const fn tail(&self) -> u32 {
        self.slot(self.next_to_use)
    }

    /// Number of posted descriptors.
    #[inline(always)]
    pub const fn used(&self) -> u32 {
        self.next_to_use.wrapping_sub(self.next_to_clean)
    }

    /// Number of descriptors that can be posted.
    #[inline(always)]
    pub const fn unused(&self) -> u32 {
        self.mask.wrapping_sub(self.used())
    }

    /// Whether nothing is posted.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.next_to_use == self.next_to_clean
    }

    /// Posts `count` descriptors; the caller has filled their slots and checked [`unused`](Self::unused).
    #[inline(always)]
    pub const fn post(&mut self, count: u32) {
        debug_assert!(count <= self.unused());
        self.next_to_use = self.next_to_use.wrapping_add(count);
    }

    /// Takes back the `count` oldest posted descriptors.
    #[inline(always)]
    pub const fn clean(&mut self, count: u32) {
        debug_assert!(count <= self.used());
        self.next_to_clean = self.next_to_clean.wrapping_add(count);
    }

    /// Takes back the `count` newest posted descriptors (a packet whose mapping failed half way).
    #[inline(always)]
    pub const fn unpost(&mut self, count: u32) {
        debug_assert!(count <= self.used());
        self.next_to_use = self.next_to_use.wrapping_sub(count);
    }

    /// Prepares the ring for a device whose head is at slot `head`: the next descriptor to clean gets that
    /// slot. A device that was reset has its head at 0; [`rebase`](Self::rebase) is for that.
    pub const fn rebase_to(&mut self, head: u32) {
        self.offset = self.next_to_clean.wrapping_sub(head);
    }

    /// Prepares the ring for a device that starts at slot 0: the next descriptor to clean gets slot 0. Returns by how
    /// many slots every index has moved down, which is by how much per-slot arrays have to be rotated to the
    /// left. The descriptors themselves are laid out again by the caller, over the indices of
    /// [`posted`](Self::posted).
    pub const fn rebase(&mut self) -> u32 {
        let moved = self.slot(self.next_to_clean);
        self.offset = self.next_to_clean;
        moved
    }

    /// The posted indices with their slots, oldest first.
    pub fn posted(&self) -> impl Iterator<Item = (u32, u32)> {
        let ring = *self;
        (0..ring.used()).map(move |n| {
            let index = ring.next_to_clean.wrapping_add(n);
            (index, ring.slot(index))
        })
    }

    /// Empties the ring: all indices and the offset 0, for a device that was reset.
    pub const fn reset(&mut self) {
        self.offset = 0;
        self.next_to_use = 0;
        self.next_to_clean = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// A device that owns the slots from head to tail.
    struct Hardware {
        slots: Vec<Option<u64>>,
        done: Vec<bool>,
        head: usize,
        tail: usize,
    }

    impl Hardware {
        fn new(size: usize) -> Self {
            Self {
                slots: vec![None; size],
                done: vec![false; size],
                head: 0,
                tail: 0,
            }
        }

        /// Works on up to `count` descriptors and returns what they held.
        fn work(&mut self, count: u32) -> Vec<u64> {
            let mut seen = Vec::new();
            for _ in 0..count {
                if self.head == self.tail {
                    break;
                }
                seen.push(self.slots[self.head].expect("descriptor that nobody posted"));
                self.done[self.head] = true;
                self.head = (self.head + 1) % self.slots.len();
            }
            seen
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Post(u32),
        Unpost(u32),
        Work(u32),
        Clean(u32),
        /// The device is replaced by one whose head is here.
        Move(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (1..20u32).prop_map(Event::Post),
            1 => (1..4u32).prop_map(Event::Unpost),
            4 => (1..20u32).prop_map(Event::Work),
            4 => (1..20u32).prop_map(Event::Clean),
            1 => prop_oneof![Just(0), any::<u32>()].prop_map(Event::Move),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 4000 }))]

        /// Random histories of posting, hardware progress, cleaning and replacement of the device, from any start of
        /// the free-running indices: each packet is cleaned once and in order, the hardware never sees a
        /// slot that was not posted.
        #[test]
        fn each_descriptor_once(
            size_log in 3..7u32,
            start: u32,
            events in prop::collection::vec(event(), 0..120),
        ) {
            let size = 1u32 << size_log;
            let mut ring = Ring { offset: start, next_to_use: start, next_to_clean: start, ..Ring::new(size) };
            let mut hardware = Hardware::new(size as usize);
            let mut posted = VecDeque::new();
            let mut next = 0u64;
            let clean = |ring: &mut Ring, hardware: &mut Hardware, posted: &mut VecDeque<u64>, max: u32| {
                for _ in 0..max {
                    let slot = ring.slot(ring.next_to_clean()) as usize;
                    if ring.is_empty() || !hardware.done[slot] {
                        break;
                    }
                    assert_eq!(hardware.slots[slot].take(), posted.pop_front());
                    hardware.done[slot] = false;
                    ring.clean(1);
                }
            };
            for event in events {
                match event {
                    Event::Post(count) => {
                        for _ in 0..count.min(ring.unused()) {
                            let slot = ring.tail() as usize;
                            prop_assert!(hardware.slots[slot].is_none(), "slot posted twice");
                            hardware.slots[slot] = Some(next);
                            posted.push_back(next);
                            next += 1;
                            ring.post(1);
                        }
                        hardware.tail = ring.tail() as usize;
                    }
                    Event::Unpost(count) => {
                        // Descriptors filled but not yet shown to the hardware.
                        for _ in 0..count.min(ring.unused()) {
                            ring.post(1);
                            ring.unpost(1);
                        }
                        prop_assert_eq!(hardware.tail, ring.tail() as usize);
                    }
                    Event::Work(count) => {
                        hardware.work(count);
                    }
                    Event::Clean(count) => clean(&mut ring, &mut hardware, &mut posted, count),
                    Event::Move(head) => {
                        let head = head % size;
                        // What the old device has completed is consumed first.
                        clean(&mut ring, &mut hardware, &mut posted, size);
                        let left: Vec<_> = ring
                            .posted()
                            .map(|(_, slot)| hardware.slots[slot as usize])
                            .collect();
                        let mut rotated = hardware.slots.clone();
                        let mut at_zero = ring;
                        let moved = at_zero.rebase();
                        rotated.rotate_left(moved as usize);
                        prop_assert_eq!(at_zero.slot(at_zero.next_to_clean()), 0);
                        ring.rebase_to(head);
                        rotated.rotate_right(head as usize);
                        hardware = Hardware::new(size as usize);
                        hardware.head = head as usize;
                        for ((index, slot), packet) in ring.posted().zip(left) {
                            prop_assert_eq!(ring.slot(index), slot);
                            prop_assert_eq!(rotated[slot as usize], packet);
                            hardware.slots[slot as usize] = packet;
                        }
                        hardware.tail = ring.tail() as usize;
                        prop_assert_eq!(ring.slot(ring.next_to_clean()), head);
                    }
                }
                prop_assert_eq!(ring.used() as usize, posted.len());
                prop_assert_eq!(ring.used() + ring.unused(), size - 1);
                prop_assert_eq!(
                    Ring::from_parts(size, ring.offset(), ring.next_to_clean(), ring.next_to_use()),
                    ring
                );
            }
            hardware.work(size);
            clean(&mut ring, &mut hardware, &mut posted, size);
            prop_assert!(ring.is_empty() && posted.is_empty());
        }
    }

    #[test]
    fn sizes() {
        for (wanted, size) in [
            (0, 8),
            (8, 8),
            (9, 16),
            (256, 256),
            (257, 512),
            (4095, 4096),
            (9000, 4096),
        ] {
            assert_eq!(Ring::round_size(wanted), size);
            assert_eq!(Ring::new(size).size(), size);
        }
    }

    #[test]
    #[should_panic(expected = "is_power_of_two")]
    fn not_a_power_of_two() {
        Ring::new(24);
    }

    #[test]
    fn reset_starts_over() {
        let mut ring = Ring::new(16);
        ring.post(10);
        ring.clean(4);
        ring.rebase();
        ring.reset();
        assert_eq!(ring, Ring::new(16));
    }

    #[test]
    fn next_wraps() {
        assert_eq!(Ring::next(u32::MAX), 0);
    }
}
