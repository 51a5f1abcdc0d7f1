// SPDX-License-Identifier: GPL-2.0

//! The register window of a function.

use crate::{
    bindings,
    pci::Function, //
};
use compsc_core::log::Io32;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A mapped memory BAR. It goes into a [`Recorder`](compsc_core::log::Recorder), which is the only way
/// to the registers from then on.
pub struct Bar {
    function: Function,
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: The mapping is valid on every CPU; register accesses are ordered by the hardware's rules, not
// by Rust's.
unsafe impl Send for Bar {}
// SAFETY: As above.
unsafe impl Sync for Bar {}

impl Bar {
    /// Maps BAR `index`, which must have at least `size` bytes.
    pub fn map(function: Function, index: u32, size: usize) -> Result<Self> {
        // CAST: BAR numbers are below 6.
        // SAFETY: The function is enabled, and its regions are claimed by this driver.
        let base = unsafe { bindings::pci_iomap(function.as_raw(), index as i32, 0) };
        let base = NonNull::new(base.cast::<u8>()).ok_or(ENOMEM)?;
        let bar = Self {
            function,
            base,
            size,
        };
        // SAFETY: The structure of a bound function is valid.
        let length = unsafe { bindings::pci_resource_len(function.as_raw(), index as i32) };
        if length < size as u64 {
            dev_err!(
                function.device(),
                "BAR {} has {} bytes, the register map needs {}\n",
                index,
                length,
                size
            );
            return Err(ENODEV);
        }
        Ok(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // SAFETY: The mapping was made by `pci_iomap()` and is used by nobody any more.
        unsafe { bindings::pci_iounmap(self.function.as_raw(), self.base.as_ptr().cast()) };
    }
}

impl Io32 for Bar {
    #[inline(always)]
    fn read32(&self, offset: usize) -> u32 {
        debug_assert!(offset + 4 <= self.size);
        // SAFETY: Offsets come from the register map, which `map` compared with the BAR's size.
        unsafe { bindings::readl(self.base.as_ptr().add(offset).cast()) }
    }

    #[inline(always)]
    fn write32(&self, offset: usize, value: u32) {
        debug_assert!(offset + 4 <= self.size);
        // SAFETY: As above.
        unsafe { bindings::writel(value, self.base.as_ptr().add(offset).cast()) }
    }
}
