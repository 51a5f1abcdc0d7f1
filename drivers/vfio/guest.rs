// SPDX-License-Identifier: GPL-2.0

//! Access to guest memory, and the tracking of what the device writes there.
//!
//! The shared region is never mapped: each byte is copied once, by `vfio_dma_rw()`, into a local
//! buffer that is then checked. So nothing can change between the check and the use, no guest page
//! is held, and there is nothing to release on any error path. A header and a few queues are some
//! hundred bytes; the copy costs about as much as setting up one mapping.
//!
//! # Dirty tracking with a type1 container
//!
//! Type1 reports all mapped memory as dirty until the driver has pinned a page once. From then on,
//! until the container goes, it reports pinned pages and what `vfio_dma_rw()` wrote, and the rest
//! is left to KVM's log of the vCPUs' writes (*pinned-page scope*). So
//!
//! * the scope is entered by pinning one page and releasing it at once
//!   ([`PinScope::enter`]), and only for a guest that has promised dummy writes;
//! * what the device may have written and the guest has not yet touched is written by the host, one
//!   byte per page with its own value ([`Tracker::mark`]), when vCPUs and device are stopped. This
//!   has the effect of pinning, with nothing to undo.

use crate::vfio_core::{
    VfioCore,
    PAGE_SIZE, //
};
use compsc_core::{
    capability::Announcement,
    region::ReadAt, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Guest memory that could not be accessed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryError {
    /// Bus address.
    iova: u64,
    error: Error,
}

impl core::fmt::Display for MemoryError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "bus address {:#x} is not memory that the device may use (error {})",
            self.iova,
            self.error.to_errno()
        )
    }
}

/// The announced region.
#[derive(Clone, Copy)]
pub(crate) struct SharedRegion<'a> {
    core: &'a VfioCore,
    place: Announcement,
}

impl<'a> SharedRegion<'a> {
    pub(crate) fn new(core: &'a VfioCore, place: Announcement) -> Self {
        Self { core, place }
    }

    fn at(&self, offset: u32, len: usize) -> Result<u64, MemoryError> {
        let iova = self.place.address() + u64::from(offset);
        if u64::from(offset) + len as u64 > u64::from(self.place.length()) {
            return Err(MemoryError {
                iova,
                error: ERANGE,
            });
        }
        Ok(iova)
    }

    /// Writes to the region; the pages become dirty.
    pub(crate) fn write_at(&self, offset: u32, data: &[u8]) -> Result<(), MemoryError> {
        let iova = self.at(offset, data.len())?;
        self.core
            .dma_write(iova, data)
            .map_err(|error| MemoryError { iova, error })
    }
}

impl ReadAt for SharedRegion<'_> {
    type Error = MemoryError;

    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), MemoryError> {
        let iova = self.at(offset, buf.len())?;
        self.core
            .dma_read(iova, buf)
            .map_err(|error| MemoryError { iova, error })
    }
}

/// How long the scope is not entered after memory was unmapped.
const UNMAP_PAUSE: Delta = Delta::from_millis(100);
/// How long unmapping waits for a page to be released, at most. Type1 asks up to ten times.
const RELEASE_WAIT: Delta = Delta::from_millis(20);
/// Pause between two looks at the page.
const RELEASE_POLL: Delta = Delta::from_micros(50);

struct Pins {
    entered: bool,
    /// A page is pinned just now, or about to be.
    pinning: bool,
    /// When memory was last unmapped while a page was pinned.
    unmapped: Option<Instant<Monotonic>>,
}

/// Pinned-page scope of the function's group.
///
/// When memory with pinned pages is unmapped, type1 calls `dma_unmap` and looks again; the tenth time that
/// pages are still pinned is a BUG. So the callback waits until our page is released, and afterwards none is pinned
/// until the unmapping must be over. The wait is bounded and takes no lock that is held while pinning:
/// type1 calls with a lock that another unmapping may be waiting for with the container's lock in its
/// hands, which pinning needs.
#[pin_data]
pub(crate) struct PinScope {
    /// Innermost lock.
    #[pin]
    pins: SpinLock<Pins>,
}

impl PinScope {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pins <- new_spinlock!(
                Pins { entered: false, pinning: false, unmapped: None },
                "compsc_vfio_pins"
            ),
        })
    }

    /// The device was opened: users get a new container with that, or leave the group's scope as it is by
    /// keeping the old one, at the cost of their own memory only.
    pub(crate) fn reset(&self) {
        self.pins.lock().entered = false;
    }

    /// Whether type1 leaves the tracking of this group's DMA to us.
    pub(crate) fn is_entered(&self) -> bool {
        self.pins.lock().entered
    }

    /// Enters the scope by pinning the page at `iova` for a moment. Called with the state mutex held.
    ///
    /// # Errors
    ///
    /// `EAGAIN` shortly after memory was unmapped; otherwise those of `vfio_pin_pages()`.
    pub(crate) fn enter(&self, core: &VfioCore, iova: u64) -> Result {
        let mut pins = self.pins.lock();
        if pins.entered {
            return Ok(());
        }
        if pins.unmapped.is_some_and(|t| t.elapsed() < UNMAP_PAUSE) {
            return Err(EAGAIN);
        }
        pins.pinning = true;
        drop(pins);
        let result = core.pin_and_release(iova);
        let mut pins = self.pins.lock();
        pins.pinning = false;
        pins.entered = result.is_ok();
        result
    }

    /// Type1 is about to unmap memory in which pages are pinned.
    pub(crate) fn unmapping(&self) {
        let start = Instant::<Monotonic>::now();
        self.pins.lock().unmapped = Some(start);
        // TIMEOUT: type1 asks again.
        while self.pins.lock().pinning && start.elapsed() < RELEASE_WAIT {
            fsleep(RELEASE_POLL);
        }
    }
}

/// Marks pages as dirty at the end of a migration.
pub(crate) struct Tracker<'a> {
    core: &'a VfioCore,
    last: Option<u64>,
    pages: u32,
}

impl<'a> Tracker<'a> {
    pub(crate) fn new(core: &'a VfioCore) -> Self {
        Self {
            core,
            last: None,
            pages: 0,
        }
    }

    /// Marks all pages that `len` bytes from `iova` on touch. The sum must not wrap.
    ///
    /// Neither vCPUs nor the device may be running: a byte of each page is read and written back.
    pub(crate) fn mark(&mut self, iova: u64, len: u32) -> Result<(), MemoryError> {
        let Some(last) = u64::from(len).checked_sub(1).map(|l| iova + l) else {
            return Ok(());
        };
        let mut page = iova & !(PAGE_SIZE - 1);
        loop {
            // Buffers often share a page with their neighbour.
            if self.last != Some(page) {
                let mut byte = [0];
                self.core
                    .dma_read(page, &mut byte)
                    .and_then(|()| self.core.dma_write(page, &byte))
                    .map_err(|error| MemoryError { iova: page, error })?;
                self.last = Some(page);
                self.pages += 1;
            }
            if last - page < PAGE_SIZE {
                return Ok(());
            }
            page += PAGE_SIZE;
        }
    }

    /// Pages marked so far.
    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }
}
