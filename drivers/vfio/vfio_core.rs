// SPDX-License-Identifier: GPL-2.0

//! Safe access to what vfio-pci-core and the PCI core offer for one function.

use compsc::bindings;
use kernel::{
    bindings::pci_dev,
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{c_int, c_void},
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    types::Opaque,
    workqueue, //
};

/// Size of a page of guest memory as VFIO counts it.
pub(crate) const PAGE_SIZE: u64 = 1 << bindings::PAGE_SHIFT;

/// One function, as vfio-pci-core knows it.
///
/// Shared between all contexts that the VFIO core calls from; what is in it has its own locks on the
/// C side, or is constant from `init` on.
///
/// # Invariants
///
/// `vfio_pci_core_init_dev()` has run: `pdev` is set and valid.
#[repr(transparent)]
pub(crate) struct VfioCore(Opaque<bindings::vfio_pci_core_device>);

impl VfioCore {
    /// Views the C structure.
    ///
    /// # Safety
    ///
    /// `ptr` is initialised by `vfio_pci_core_init_dev()` and stays so for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::vfio_pci_core_device) -> &'a Self {
        // INVARIANT: By the safety requirements.
        // SAFETY: Transparent wrapper of an `Opaque`; valid by the safety requirements.
        unsafe { &*ptr.cast() }
    }

    /// The structure for calls into C.
    pub(crate) fn as_raw(&self) -> *mut bindings::vfio_pci_core_device {
        self.0.get()
    }

    /// The `vfio_device` in it.
    pub(crate) fn vdev(&self) -> *mut bindings::vfio_device {
        // SAFETY: Only the field's address is taken.
        unsafe { &raw mut (*self.as_raw()).vdev }
    }

    fn pdev(&self) -> *mut pci_dev {
        // SAFETY: By the invariants the field is set, and nobody changes it.
        unsafe { (*self.as_raw()).pdev }
    }

    /// The device for messages.
    pub(crate) fn dev(&self) -> &device::Device {
        // SAFETY: The PCI device outlives the VFIO device, which holds it by its parent link.
        unsafe { device::Device::from_raw(&raw mut (*self.pdev()).dev) }
    }

    /// PCI vendor and device id. A virtual function's are those that the PCI core made up for it.
    pub(crate) fn id(&self) -> (u16, u16) {
        let pdev = self.pdev();
        // SAFETY: Constant fields of a valid device.
        unsafe { ((*pdev).vendor, (*pdev).device) }
    }

    /// A byte of the standard configuration space as the user sees it, without the overlay.
    ///
    /// Only while the device is open.
    pub(crate) fn virtual_config(&self, offset: u8) -> u8 {
        // SAFETY: vfio-pci-core allocates the shadow before `open_device` ends and frees it after
        // `close_device`; it has at least 256 bytes. Bytes are read whole.
        unsafe { (*self.as_raw()).vconfig.add(offset.into()).read_volatile() }
    }

    /// Whether a byte of the standard configuration space belongs to no capability.
    ///
    /// Only while the device is open.
    pub(crate) fn is_config_free(&self, offset: u8) -> bool {
        // SAFETY: As in `virtual_config`; the map does not change while the device is open.
        let kind = unsafe { *(*self.as_raw()).pci_config_map.add(offset.into()) };
        kind == Self::CONFIG_UNASSIGNED
    }

    /// vfio-pci-core marks bytes that belong to no capability so (`PCI_CAP_ID_INVALID`).
    const CONFIG_UNASSIGNED: u8 = 0xff;

    /// Keeps the function awake until the result is dropped. The user may have put it to sleep.
    ///
    /// # Errors
    ///
    /// Those of waking it up.
    pub(crate) fn awake(&self) -> Result<Awake<'_>> {
        // SAFETY: `pdev` is valid.
        to_result(unsafe { bindings::compsc_vfio_pm_get(self.pdev()) })?;
        Ok(Awake(self))
    }

    fn register(&self, offset: u32) -> Result<*mut c_void> {
        // SAFETY: BAR 0 is mapped while the device is open; otherwise the field is an error or NULL.
        let base = from_err_ptr(unsafe { (*self.as_raw()).barmap[0] })?;
        if base.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: A plain query of the resource.
        let length = unsafe { bindings::compsc_vfio_bar_length(self.pdev(), 0) };
        if offset % 4 != 0 || u64::from(offset) + 4 > length {
            return Err(ERANGE);
        }
        Ok(base.wrapping_byte_add(offset as usize))
    }

    /// Reads a 32-bit register of BAR 0.
    ///
    /// # Errors
    ///
    /// `EIO` while the function's memory space is disabled (the guest has put it to sleep or
    /// it is in reset), `ERANGE` beyond the BAR.
    pub(crate) fn read32(&self, offset: u32) -> Result<u32> {
        let io = self.register(offset)?;
        let mut value = 0;
        // SAFETY: `io` lies in the mapped BAR; with `test_mem` the function takes memory_lock and
        // checks that the memory space is enabled.
        to_result(unsafe {
            bindings::vfio_pci_core_ioread32(self.as_raw(), true, &raw mut value, io)
        })?;
        Ok(value)
    }

    /// Writes a 32-bit register of BAR 0; errors as [`read32`](Self::read32).
    pub(crate) fn write32(&self, offset: u32, value: u32) -> Result {
        let io = self.register(offset)?;
        // SAFETY: As in `read32`.
        to_result(unsafe { bindings::vfio_pci_core_iowrite32(self.as_raw(), true, value, io) })
    }

    /// Whether the function may master the bus: do DMA and send message interrupts.
    pub(crate) fn is_bus_master(&self) -> bool {
        let mut command = 0u16;
        // SAFETY: `pdev` is valid, the pointer is to a local.
        let ret = unsafe {
            bindings::pci_read_config_word(
                self.pdev(),
                bindings::PCI_COMMAND as c_int,
                &raw mut command,
            )
        };
        // A function that has gone reads as all ones; it does no DMA either way.
        ret == 0 && command != !0 && u32::from(command) & bindings::PCI_COMMAND_MASTER != 0
    }

    /// Switches bus mastering. When it is switched off, waits (bounded by the PCI core, about a
    /// second) until outstanding requests are answered.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if requests stay outstanding; bus mastering is off nevertheless.
    pub(crate) fn set_bus_master(&self, on: bool) -> Result {
        if on {
            // SAFETY: `pdev` is valid and enabled while the VFIO device is open.
            unsafe { bindings::pci_set_master(self.pdev()) };
            return Ok(());
        }
        // SAFETY: As above.
        unsafe { bindings::pci_clear_master(self.pdev()) };
        // SAFETY: As above; only reads the capability.
        match unsafe { bindings::pci_wait_for_pending_transaction(self.pdev()) } {
            0 => Err(ETIMEDOUT),
            _ => Ok(()),
        }
    }

    /// Copies guest memory at bus address `iova` into `data`. The copy may tear where the guest
    /// writes at the same time.
    ///
    /// # Errors
    ///
    /// `EINVAL` where nothing is mapped, `EPERM` where the guest may not read, `EFAULT` outside of
    /// the address space that has mapped the memory.
    pub(crate) fn dma_read(&self, iova: u64, data: &mut [u8]) -> Result {
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: `data` is valid for its length; the VFIO core checks the rest.
        to_result(unsafe {
            bindings::vfio_dma_rw(
                self.vdev(),
                iova,
                data.as_mut_ptr().cast(),
                data.len(),
                false,
            )
        })
    }

    /// Copies `data` to guest memory and marks the pages dirty; errors as [`dma_read`](Self::dma_read).
    pub(crate) fn dma_write(&self, iova: u64, data: &[u8]) -> Result {
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: `data` is valid for its length and only read, whatever the C signature says.
        to_result(unsafe {
            bindings::vfio_dma_rw(
                self.vdev(),
                iova,
                data.as_ptr().cast_mut().cast(),
                data.len(),
                true,
            )
        })
    }

    /// Pins the page at `iova` and releases it again, on a kernel thread: a page that stays pinned while its user
    /// unmaps it is a BUG to type1, so no user may keep its own thread off the processor in between.
    ///
    /// The caller serialises against `dma_unmap`; see [`crate::guest`].
    pub(crate) fn pin_and_release(&self, iova: u64) -> Result {
        let job = Arc::pin_init(
            pin_init!(PinJob {
                core: self,
                iova,
                result: Atomic::new(0),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let theirs = job.clone();
        workqueue::system_highpri().try_spawn(GFP_KERNEL, move || {
            // SAFETY: The caller waits below, with `self` borrowed.
            let core = unsafe { &*theirs.core };
            let result = core.pin_and_release_here(theirs.iova);
            theirs
                .result
                .store(result.map_or_else(|e| e.to_errno(), |()| 0), Relaxed);
            theirs.done.complete_all();
        })?;
        job.done.wait_for_completion();
        to_result(job.result.load(Relaxed))
    }

    fn pin_and_release_here(&self, iova: u64) -> Result {
        let mut page = core::ptr::null_mut();
        let prot = bindings::IOMMU_READ | bindings::IOMMU_WRITE;
        // SAFETY: One page is asked for, and there is room for one.
        let pinned =
            unsafe { bindings::vfio_pin_pages(self.vdev(), iova, 1, prot as c_int, &raw mut page) };
        to_result(pinned)?;
        // SAFETY: The page was pinned just now.
        unsafe { bindings::vfio_unpin_pages(self.vdev(), iova, 1) };
        Ok(())
    }

    /// Whether there are other functions in the same IOMMU group.
    pub(crate) fn shares_group(&self) -> bool {
        // SAFETY: `pdev` is valid.
        unsafe { bindings::compsc_vfio_group_size(self.pdev()) != 1 }
    }

    /// The next state on VFIO's way from `from` to `to`.
    pub(crate) fn next_state(&self, from: u32, to: u32) -> Result<u32> {
        let mut next = 0;
        // SAFETY: The pointer is to a local; any state number is checked by the callee.
        to_result(unsafe {
            bindings::vfio_mig_get_next_state(self.vdev(), from, to, &raw mut next)
        })?;
        Ok(next)
    }
}

/// Whether another message is bearable just now.
pub(crate) fn may_speak() -> bool {
    // SAFETY: No arguments; the C side has a lock of its own.
    unsafe { bindings::compsc_vfio_ratelimit() }
}

/// A page to be pinned by another thread.
#[pin_data]
struct PinJob {
    core: *const VfioCore,
    iova: u64,
    result: Atomic<c_int>,
    #[pin]
    done: Completion,
}

// SAFETY: `VfioCore` may be used by any thread; whoever makes the job keeps it until the job is done.
unsafe impl Send for PinJob {}
// SAFETY: As above.
unsafe impl Sync for PinJob {}

/// A function that is kept awake.
pub(crate) struct Awake<'a>(&'a VfioCore);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        // SAFETY: Undoes what `VfioCore::awake` has done.
        unsafe { bindings::compsc_vfio_pm_put(self.0.pdev()) };
    }
}

// SAFETY: No method needs to run on a certain thread.
unsafe impl Send for VfioCore {}
// SAFETY: All methods call functions that lock for themselves, or read constant fields.
unsafe impl Sync for VfioCore {}
