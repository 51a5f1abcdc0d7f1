// SPDX-License-Identifier: GPL-2.0

//! VFIO variant driver: gives live migration to NIC functions whose hardware has none.
//!
//! The function itself is handed to the guest as vfio-pci does it. On top of that the driver
//!
//! * shows the guest a capability by which its driver announces a region of its memory ([`config`]),
//! * implements VFIO's migration protocol ([`migration`]), for which it stops the function
//!   ([`chip`]), reads and writes that region ([`guest`]) and carries the little that only the host
//!   can see in a stream ([`file`]),
//! * reports what it did ([`figures`], [`trace`]).
//!
//! [`vfio_core`], [`device`], [`file`], [`pci`] and [`trace`] are the glue to the kernel's C code and hold all
//! the unsafe blocks.
//!
//! # Lock order
//!
//! ```text
//! vfio core's device-set lock (open, close)
//!   migration state mutex
//!     reset spin lock (innermost; see `device`)
//!     capability mutex
//!     a stream file's mutex
//!     container lock (vfio_iommu_type1), mmap lock
//!     pin spin lock (innermost; see `guest`)
//!     memory_lock of vfio-pci-core (register access)
//! ```
//!
//! A reset runs under memory_lock and tells us afterwards, so the state mutex cannot be taken
//! there; see [`device::Device::reset_done`].

/// Messages about what a user or guest does: it must not fill the host's log.
macro_rules! user_err {
    ($($arg:tt)*) => { if $crate::vfio_core::may_speak() { ::kernel::dev_err!($($arg)*) } };
}
macro_rules! user_warn {
    ($($arg:tt)*) => { if $crate::vfio_core::may_speak() { ::kernel::dev_warn!($($arg)*) } };
}
macro_rules! user_info {
    ($($arg:tt)*) => { if $crate::vfio_core::may_speak() { ::kernel::dev_info!($($arg)*) } };
}

mod chip;
mod config;
mod device;
mod figures;
mod file;
mod guest;
mod migration;
mod pci;
mod trace;
mod vfio_core;

use kernel::{
    error::Error,
    prelude::*,
    InPlaceModule,
    ModuleMetadata, //
};

/// Shows in a kernel message what implements the core library's `Display`.
struct Show<T>(T);

impl<T: core::fmt::Display> kernel::fmt::Display for Show<T> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        self.0.fmt(f)
    }
}

#[pin_data]
struct CompscVfioPci {
    // Fields are dropped in this order: no device is bound any more when the debugfs folder goes.
    #[pin]
    driver: pci::Registration,
    folder: figures::Folder,
}

impl InPlaceModule for CompscVfioPci {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            folder: figures::Folder::new(),
            driver <- pci::Registration::new(<Self as ModuleMetadata>::NAME, module),
        })
    }
}

module! {
    type: CompscVfioPci,
    name: "compsc_vfio_pci",
    authors: ["The CompSC authors"],
    description: "VFIO variant driver with live migration for Intel SR-IOV NICs",
    license: "GPL v2",
    imports_ns: ["IOMMUFD"],
}
