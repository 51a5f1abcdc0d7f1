// SPDX-License-Identifier: GPL-2.0

//! The capability in the function's virtual configuration space.

use compsc_core::capability::{
    place,
    Announcement,
    Event,
    Placement,
    Registers,
    LENGTH, //
};
use core::ops::Range;

/// The capability laid over the configuration space that vfio-pci-core shows.
///
/// Lives as long as the device; protected by the device's capability mutex. `place` is there while the
/// device is open.
pub(crate) struct Overlay {
    registers: Registers,
    place: Option<Placement>,
}

impl Overlay {
    pub(crate) const fn new() -> Self {
        Self {
            registers: Registers::new(),
            place: None,
        }
    }

    /// Finds a place for the capability in a function that was just opened, with nothing announced.
    /// Returns whether there is one; see [`place`] for the arguments.
    pub(crate) fn open(&mut self, read: impl Fn(u8) -> u8, is_free: impl Fn(u8) -> bool) -> bool {
        self.registers.restore(None);
        self.place = place(read, is_free);
        self.place.is_some()
    }

    /// The region that is announced now.
    pub(crate) fn announced(&self) -> Option<Announcement> {
        self.registers.announced()
    }

    /// Sets what is announced: from a stream, or nothing after a reset.
    pub(crate) fn restore(&mut self, announced: Option<Announcement>) {
        self.registers.restore(announced);
    }

    /// Bytes of the configuration space that the capability occupies.
    pub(crate) fn range(&self) -> Range<u64> {
        match self.place {
            Some(at) => u64::from(at.offset)..u64::from(at.offset) + LENGTH as u64,
            None => 0..0,
        }
    }

    /// The byte at `offset` of the configuration space, if the overlay decides it.
    pub(crate) fn byte(&self, offset: u64) -> Option<u8> {
        let at = self.place?;
        if offset == u64::from(at.link) {
            return Some(at.offset);
        }
        let range = self.range();
        // CAST: at most the capability's length.
        range
            .contains(&offset)
            .then(|| self.registers.byte((offset - range.start) as usize))
    }

    /// The guest writes `data` at `offset` of the configuration space, which lies in
    /// [`range`](Self::range).
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Option<Event> {
        let within = offset.checked_sub(self.range().start)?;
        // CAST: at most the capability's length.
        self.registers.write(within as usize, data)
    }
}
