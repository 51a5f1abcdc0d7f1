// SPDX-License-Identifier: GPL-2.0

//! The PCI driver.
//!
//! The `kernel` crate's PCI driver stores its own data in the device and has neither error handlers
//! nor `driver_managed_dma`; vfio-pci-core wants its own structure there. So this is an own, small
//! registration.

use crate::device;
use compsc::{
    bindings,
    sysfs::HasGroup, //
};
use core::marker::PhantomPinned;
use kernel::{
    device_id::{IdTable, RawDeviceId},
    error::{to_result, Error},
    ffi::c_int,
    prelude::*,
    types::Opaque,
};

/// A function that is only bound on request: by `driver_override`, or by a tool that looks for the
/// `vfio_pci:` alias.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct OverrideId(bindings::pci_device_id);

impl OverrideId {
    const fn intel(device: u32) -> Self {
        Self(bindings::pci_device_id {
            vendor: bindings::PCI_VENDOR_ID_INTEL,
            device,
            subvendor: bindings::PCI_ANY_ID as u32,
            subdevice: bindings::PCI_ANY_ID as u32,
            class: 0,
            class_mask: 0,
            driver_data: 0,
            override_only: bindings::PCI_ID_F_VFIO_DRIVER_OVERRIDE,
        })
    }
}

// SAFETY: `OverrideId` is a transparent wrapper of `pci_device_id`.
unsafe impl RawDeviceId for OverrideId {
    type RawType = bindings::pci_device_id;
}

// What is listed here needs a chip in `chip::of`.
kernel::module_device_table!(
    "pci", OverrideId, FUNCTIONS, @none,
    [
        OverrideId::intel(0x10c9), // 82576 physical function
        OverrideId::intel(0x10ca), // 82576 virtual function
    ]
);

static ERROR_HANDLERS: bindings::pci_error_handlers = bindings::pci_error_handlers {
    error_detected: Some(bindings::vfio_pci_core_aer_err_detected),
    reset_prepare: Some(reset_prepare),
    reset_done: Some(reset_done),
    ..pin_init::zeroed()
};

/// The registered PCI driver; unregistered when dropped.
///
/// # Invariants
///
/// The structure is registered and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {
    #[pin]
    driver: Opaque<bindings::pci_driver>,
    #[pin]
    _pinned: PhantomPinned,
}

// SAFETY: The C side serialises registration and what follows from it; there is nothing to access
// through a reference.
unsafe impl Sync for Registration {}
// SAFETY: A driver may be unregistered by another thread than registered it.
unsafe impl Send for Registration {}

impl Registration {
    /// Registers the driver. Devices are probed from here on.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        // INVARIANT: On success the driver is registered, and it is pinned by construction.
        try_pin_init!(Self {
            driver <- Opaque::try_ffi_init(|slot: *mut bindings::pci_driver| {
                let driver = bindings::pci_driver {
                    name: name.as_char_ptr(),
                    id_table: FUNCTIONS.as_ptr(),
                    probe: Some(probe),
                    remove: Some(remove),
                    err_handler: &raw const ERROR_HANDLERS,
                    dev_groups: device::Device::GROUPS.as_raw(),
                    driver_managed_dma: true,
                    ..Default::default()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(driver) };
                // SAFETY: `slot` is initialised, stays where it is and registered until the drop.
                to_result(unsafe {
                    bindings::__pci_register_driver(slot, module.as_ptr(), name.as_char_ptr())
                })
            }),
            _pinned: PhantomPinned,
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type's invariants the driver is registered.
        unsafe { bindings::pci_unregister_driver(self.driver.get()) };
    }
}

extern "C" fn probe(pdev: *mut bindings::pci_dev, _id: *const bindings::pci_device_id) -> c_int {
    // SAFETY: The PCI core calls with a device that is being bound to this driver.
    match unsafe { device::probe(pdev) } {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

extern "C" fn remove(pdev: *mut bindings::pci_dev) {
    // SAFETY: The PCI core calls once for each device that was probed.
    unsafe { device::remove(pdev) };
}

/// There is nothing to prepare; without a handler the PCI core logs each reset, which a guest can ask
/// for as often as it likes.
extern "C" fn reset_prepare(_pdev: *mut bindings::pci_dev) {}

extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
    // SAFETY: The PCI core calls with the device lock held and the driver bound, so the device
    // exists.
    unsafe { device::reset_done(pdev) };
}
