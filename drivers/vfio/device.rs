// SPDX-License-Identifier: GPL-2.0

//! The VFIO device: what the VFIO core and the PCI driver call.
//!
//! Most operations are those of vfio-pci-core. Ours are: configuration space (the capability), open
//! and close, the reset ioctls, and migration.
//!
//! # Resets
//!
//! Whoever resets the function holds vfio-pci-core's memory_lock, and other contexts take that lock under the
//! state mutex. So [`Device::reset_done`] cannot wait for the mutex: it sets a flag under the reset spin lock,
//! and whoever holds the mutex does the work before it lets go ([`Device::unlock`]).

use crate::{
    chip::{
        self,
        Chip, //
    },
    config::Overlay,
    figures::{
        Figures,
        Report, //
    },
    guest::PinScope,
    migration::{
        Migration,
        State, //
    },
    vfio_core::VfioCore,
};
use compsc::{
    bindings,
    sysfs, //
};
use compsc_core::capability::{
    Announcement,
    Event, //
};
use core::mem::{
    offset_of,
    size_of,
    MaybeUninit, //
};
use kernel::{
    device,
    error::{
        from_err_ptr,
        from_result,
        to_result,
        Error, //
    },
    ffi::{c_char, c_int, c_long, c_uint, c_ulong},
    ioctl::_IO,
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        MutexGuard,
        SpinLock, //
    },
    types::Opaque,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// `VFIO_DEVICE_RESET`.
const DEVICE_RESET: u32 = _IO(bindings::VFIO_TYPE as u32, bindings::VFIO_BASE + 11);
/// `VFIO_DEVICE_PCI_HOT_RESET`.
const HOT_RESET: u32 = _IO(bindings::VFIO_TYPE as u32, bindings::VFIO_BASE + 13);

/// One function that is bound to this driver. Allocated and freed by the VFIO core.
#[repr(C)]
pub(crate) struct Device {
    /// First, because the VFIO core takes the address of its part for that of the whole.
    core: Opaque<bindings::vfio_pci_core_device>,
    /// Valid from `init` to `release`.
    function: MaybeUninit<Function>,
}

const _: () = assert!(offset_of!(bindings::vfio_pci_core_device, vdev) == 0);

/// Our part of the device. All fields have their own locks.
#[pin_data]
pub(crate) struct Function {
    pub(crate) chip: &'static dyn Chip,
    pub(crate) figures: Arc<Figures>,
    /// The state mutex.
    #[pin]
    migration: Mutex<Migration>,
    /// The reset spin lock: whether a reset still has to be taken notice of.
    #[pin]
    reset_pending: SpinLock<bool>,
    /// The capability mutex.
    #[pin]
    overlay: Mutex<Overlay>,
    #[pin]
    pub(crate) scope: PinScope,
    /// How often the guest has switched bus mastering on since the last announcement, without one.
    pub(crate) unannounced: Atomic<u32>,
    #[pin]
    _report: Report,
}

impl Function {
    fn new<'a>(
        core: &'a VfioCore,
        chip: &'static dyn Chip,
    ) -> Result<impl PinInit<Self, Error> + 'a> {
        let figures = Arc::new(Figures::default(), GFP_KERNEL)?;
        figures.set_state(State::Running.number());
        let report = Report::new(core.dev(), figures.clone())?;
        Ok(try_pin_init!(Self {
            chip,
            figures,
            migration <- new_mutex!(Migration::new(), "compsc_vfio_state"),
            reset_pending <- new_spinlock!(false, "compsc_vfio_reset"),
            overlay <- new_mutex!(Overlay::new(), "compsc_vfio_capability"),
            scope <- PinScope::new(),
            unannounced: Atomic::new(0),
            _report <- report,
        }))
    }
}

impl Device {
    /// # Safety
    ///
    /// `vdev` is the VFIO device of a `Device` on which `init` has succeeded and which is not
    /// released during `'a`.
    unsafe fn from_vdev<'a>(vdev: *mut bindings::vfio_device) -> &'a Self {
        // SAFETY: By the safety requirements; all of it is shared by reference only.
        unsafe { &*vdev.cast() }
    }

    /// vfio-pci-core's part.
    pub(crate) fn core(&self) -> &VfioCore {
        // SAFETY: `init` has run, and the structure lives as long as `self`.
        unsafe { VfioCore::from_raw(self.core.get()) }
    }

    /// Our part.
    pub(crate) fn function(&self) -> &Function {
        // SAFETY: `from_vdev` makes sure that `init` has run.
        unsafe { self.function.assume_init_ref() }
    }

    /// Runs `f` with the state mutex held.
    pub(crate) fn with_migration<R>(&self, f: impl FnOnce(&mut Migration) -> R) -> R {
        let mut migration = self.function().migration.lock();
        let result = f(&mut migration);
        self.unlock(migration);
        result
    }

    /// Lets go of the state mutex, after taking notice of resets.
    fn unlock(&self, mut migration: MutexGuard<'_, Migration>) {
        loop {
            let mut pending = self.function().reset_pending.lock();
            if !core::mem::take(&mut *pending) {
                // Before the spin lock, so that no reset slips in between.
                drop(migration);
                return;
            }
            drop(pending);
            migration.was_reset(self);
        }
    }

    /// The function was reset, by whomever. Must not wait for the state mutex.
    fn reset_done(&self) {
        let function = self.function();
        let mut pending = function.reset_pending.lock();
        *pending = true;
        let migration = function.migration.try_lock();
        drop(pending);
        if let Some(migration) = migration {
            self.unlock(migration);
        }
    }

    /// The region that the guest has announced.
    pub(crate) fn announced(&self) -> Option<Announcement> {
        self.function().overlay.lock().announced()
    }

    /// Sets what counts as announced.
    pub(crate) fn set_announced(&self, region: Option<Announcement>) {
        self.function().overlay.lock().restore(region);
        self.function().figures.set_region(region);
    }

    fn open(&self) -> Result {
        // SAFETY: The VFIO core calls once per open, with the device-set lock held.
        to_result(unsafe { bindings::vfio_pci_core_enable(self.core.get()) })?;
        let core = self.core();
        let placed = self
            .function()
            .overlay
            .lock()
            .open(|at| core.virtual_config(at), |at| core.is_config_free(at));
        if !placed {
            user_warn!(
                core.dev(),
                "no room for the capability in configuration space: the guest cannot announce its \
                 memory, migration will copy all of it\n"
            );
        }
        self.function().figures.set_region(None);
        self.function().scope.reset();
        self.with_migration(|migration| migration.open(self));
        // SAFETY: After a successful enable.
        unsafe { bindings::vfio_pci_core_finish_enable(self.core.get()) };
        Ok(())
    }

    fn close(&self) {
        self.with_migration(|migration| migration.close(self));
        // SAFETY: The VFIO core calls once per close, with the device-set lock held.
        unsafe { bindings::vfio_pci_core_close_device(self.core().vdev()) };
    }

    /// Reads as vfio-pci-core does, then puts the capability over what it gave.
    fn read(&self, user: UserPtr, len: usize, pos: &mut bindings::loff_t) -> Result<usize> {
        let start = *pos;
        // SAFETY: The VFIO core calls with the user's buffer; it is checked when accessed.
        let ret = unsafe {
            bindings::vfio_pci_core_read(self.core().vdev(), user.as_mut_ptr().cast(), len, pos)
        };
        let done = to_result_size(ret)?;
        let Some(offset) = config_offset(start) else {
            return Ok(done);
        };
        // A user may read all 4 KiB at once, the capability is short.
        let end = offset + done as u64;
        let overlay = self.function().overlay.lock();
        let mut patch = [(0u64, 0u8); compsc_core::capability::LENGTH + 1];
        let mut count = 0;
        for at in offset.min(256)..end.min(256) {
            if let Some(byte) = overlay.byte(at) {
                patch[count] = (at, byte);
                count += 1;
            }
        }
        // Not under the mutex: user memory may be a mapped BAR, whose faults wait for resets.
        drop(overlay);
        for &(at, byte) in &patch[..count] {
            let target = user.wrapping_byte_add((at - offset) as usize);
            UserSlice::new(target, 1).writer().write_slice(&[byte])?;
        }
        Ok(done)
    }

    /// Writes as vfio-pci-core does, except to the capability.
    fn write(&self, user: UserPtr, len: usize, pos: &mut bindings::loff_t) -> Result<usize> {
        let Some(offset) = config_offset(*pos) else {
            return self.write_core(user, len, pos);
        };
        let range = self.function().overlay.lock().range();
        let end = offset.saturating_add(len as u64);
        // Parts before, in and after the capability; often only one is not empty.
        let mut done = 0;
        for (from, to, ours) in [
            (offset, end.min(range.start), false),
            (offset.max(range.start), end.min(range.end), true),
            (offset.max(range.end), end, false),
        ] {
            if from >= to {
                continue;
            }
            // CAST: both lie in the user's range.
            let part = (to - from) as usize;
            let source = user.wrapping_byte_add((from - offset) as usize);
            if ours {
                self.write_capability(source, part, from)?;
                *pos += part as bindings::loff_t;
            } else {
                self.write_core(source, part, pos)?;
            }
            done += part;
        }
        Ok(done)
    }

    fn write_core(&self, user: UserPtr, len: usize, pos: &mut bindings::loff_t) -> Result<usize> {
        let command = u64::from(bindings::PCI_COMMAND);
        let commands = config_offset(*pos)
            .is_some_and(|o| o < command + 2 && o.saturating_add(len as u64) > command);
        let before = commands && self.core().is_bus_master();
        // SAFETY: As in `read`.
        let ret = unsafe {
            bindings::vfio_pci_core_write(self.core().vdev(), user.as_const_ptr().cast(), len, pos)
        };
        if commands && !before {
            self.note_bus_master();
        }
        to_result_size(ret)
    }

    fn write_capability(&self, user: UserPtr, len: usize, offset: u64) -> Result {
        let mut data = [0; compsc_core::capability::LENGTH];
        let data = data.get_mut(..len).ok_or(EINVAL)?;
        UserSlice::new(user, len).reader().read_slice(data)?;
        let event = self.function().overlay.lock().write(offset, data);
        match event {
            None => {}
            Some(Event::Announced(region)) => {
                self.function().figures.set_region(Some(region));
                self.with_migration(|migration| migration.announced(self, region));
            }
            Some(event) => {
                self.function().figures.set_region(None);
                if event == Event::Rejected && self.function().figures.count_bad_region() {
                    user_warn!(
                        self.core().dev(),
                        "the guest announced a region at an address or of a length that is not \
                         allowed; it counts as not announced\n"
                    );
                }
            }
        }
        Ok(())
    }

    /// Bus mastering was off. Notes that the function may do DMA from now on although no region is announced.
    fn note_bus_master(&self) {
        if self.announced().is_none() && self.core().is_bus_master() {
            self.function().unannounced.fetch_add(1, Relaxed);
        }
    }

    fn ioctl(&self, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The VFIO core passes the user's request on.
        let ret = unsafe { bindings::vfio_pci_core_ioctl(self.core().vdev(), cmd, arg) };
        if ret == 0 && (cmd == DEVICE_RESET || cmd == HOT_RESET) {
            self.with_migration(|migration| migration.machine_reset(self));
        }
        ret
    }
}

// SAFETY: The device lives from `probe` to `remove`.
unsafe impl sysfs::Owner for Device {
    unsafe fn of<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: `probe` has set it; the device is bound, and probed with success.
        unsafe { Self::from_vdev(bindings::dev_get_drvdata(dev).cast()) }
    }
}

impl sysfs::HasGroup for Device {
    const GROUP: &'static sysfs::Group<Self> = &sysfs::Group::new(c"compsc", crate::figures::FILES);
}

/// Offset in configuration space of a position in the device file, if it is there.
fn config_offset(pos: bindings::loff_t) -> Option<u64> {
    let pos = u64::try_from(pos).ok()?;
    let shift = bindings::VFIO_PCI_OFFSET_SHIFT;
    (pos >> shift == u64::from(bindings::VFIO_PCI_CONFIG_REGION_INDEX))
        .then_some(pos & ((1 << shift) - 1))
}

fn to_result_size(ret: isize) -> Result<usize> {
    // CAST: negative values are error numbers.
    usize::try_from(ret).map_err(|_| Error::from_errno(ret as c_int))
}

/// A table of operations, whose C type holds a pointer.
struct Table(bindings::vfio_device_ops);

// SAFETY: The table is constant, and so is what it points to.
unsafe impl Sync for Table {}

static OPERATIONS: Table = Table(bindings::vfio_device_ops {
    // CAST: C does not say const, and does not write.
    name: c"compsc-vfio-pci".to_bytes_with_nul().as_ptr().cast_mut(),
    init: Some(init),
    release: Some(release),
    open_device: Some(open_device),
    close_device: Some(close_device),
    read: Some(read),
    write: Some(write),
    ioctl: Some(ioctl),
    get_region_info_caps: Some(bindings::vfio_pci_ioctl_get_region_info),
    mmap: Some(bindings::vfio_pci_core_mmap),
    request: Some(bindings::vfio_pci_core_request),
    match_: Some(bindings::vfio_pci_core_match),
    match_token_uuid: Some(bindings::vfio_pci_core_match_token_uuid),
    dma_unmap: Some(dma_unmap),
    device_feature: Some(bindings::vfio_pci_core_ioctl_feature),
    #[cfg(CONFIG_IOMMUFD)]
    bind_iommufd: Some(bindings::vfio_iommufd_physical_bind),
    #[cfg(CONFIG_IOMMUFD)]
    unbind_iommufd: Some(bindings::vfio_iommufd_physical_unbind),
    #[cfg(CONFIG_IOMMUFD)]
    attach_ioas: Some(bindings::vfio_iommufd_physical_attach_ioas),
    #[cfg(CONFIG_IOMMUFD)]
    detach_ioas: Some(bindings::vfio_iommufd_physical_detach_ioas),
    ..pin_init::zeroed()
});

static MIGRATION: bindings::vfio_migration_ops = bindings::vfio_migration_ops {
    migration_set_state: Some(set_state),
    migration_get_state: Some(get_state),
    migration_get_data_size: Some(get_data_size),
};

/// Makes the VFIO device of a function.
///
/// # Safety
///
/// `pdev` is being bound to this driver.
pub(crate) unsafe fn probe(pdev: *mut bindings::pci_dev) -> Result {
    // SAFETY: No arguments.
    if unsafe { bindings::compsc_vfio_core_size() } != size_of::<bindings::vfio_pci_core_device>() {
        pr_err!(
            "built for another kernel: vfio_pci_core_device has another size; rebuild the module\n"
        );
        return Err(EINVAL);
    }
    // SAFETY: `pdev` is valid.
    let dev = unsafe { &raw mut (*pdev).dev };
    // SAFETY: As above; reads a number.
    let vfs = unsafe { bindings::pci_num_vf(pdev) };
    if vfs != 0 {
        // They would go with it, whoever uses them, and the guest's driver would meet their queues. vfio-pci-core
        // refuses as well, but does not say what to do.
        // SAFETY: `pdev` is valid during probe.
        let dev: &device::Device = unsafe { device::Device::from_raw(dev) };
        dev_err!(
            dev,
            "{vfs} virtual functions are enabled: write 0 to sriov_numvfs, then bind this driver again\n"
        );
        return Err(EBUSY);
    }
    // SAFETY: The VFIO core allocates zeroed memory of that size, which is what `init` expects, and
    // keeps the static operations.
    let vdev = from_err_ptr(unsafe {
        bindings::_vfio_alloc_device(size_of::<Device>(), dev, &raw const OPERATIONS.0)
    })?;
    let core: *mut bindings::vfio_pci_core_device = vdev.cast();
    // SAFETY: Nobody else knows the device yet; the fields may be set until it is registered.
    // vfio-pci-core expects its structure as the driver's data.
    unsafe {
        (*vdev).migration_flags = bindings::VFIO_MIGRATION_STOP_COPY
            | bindings::VFIO_MIGRATION_P2P
            | bindings::VFIO_MIGRATION_PRE_COPY;
        (*vdev).mig_ops = &raw const MIGRATION;
        bindings::dev_set_drvdata(dev, core.cast());
    }
    // SAFETY: Allocated and initialised above.
    let result = to_result(unsafe { bindings::vfio_pci_core_register_device(core) });
    if result.is_err() {
        // SAFETY: The reference of the allocation.
        unsafe { bindings::compsc_vfio_put_device(vdev) };
        return result;
    }
    // SAFETY: `init` has run, and the device stays until `remove`.
    let device = unsafe { Device::from_vdev(vdev) };
    user_info!(
        device.core().dev(),
        "{} can be migrated\n",
        device.function().chip.name()
    );
    Ok(())
}

/// Waits until the user has closed the device, and gives it up.
///
/// # Safety
///
/// Called once after a successful [`probe`], by the PCI core.
pub(crate) unsafe fn remove(pdev: *mut bindings::pci_dev) {
    // SAFETY: `probe` has set it.
    let core = unsafe { bindings::dev_get_drvdata(&raw mut (*pdev).dev) };
    // SAFETY: Registered by `probe`; afterwards the reference of the allocation is given up.
    unsafe {
        bindings::vfio_pci_core_unregister_device(core.cast());
        bindings::compsc_vfio_put_device(core.cast());
    }
}

/// The function was reset.
///
/// # Safety
///
/// `pdev` is bound to this driver, and stays so during the call.
pub(crate) unsafe fn reset_done(pdev: *mut bindings::pci_dev) {
    // SAFETY: `probe` has set it. A reset in the middle of `probe` finds NULL or an initialised device.
    let core = unsafe { bindings::dev_get_drvdata(&raw mut (*pdev).dev) };
    if !core.is_null() {
        // SAFETY: As above; the device is not released while it is bound.
        unsafe { Device::from_vdev(core.cast()) }.reset_done();
    }
}

extern "C" fn init(vdev: *mut bindings::vfio_device) -> c_int {
    // SAFETY: `_vfio_alloc_device` calls once, on the memory that it has allocated.
    let ret = unsafe { bindings::vfio_pci_core_init_dev(vdev) };
    if ret != 0 {
        return ret;
    }
    let device: *mut Device = vdev.cast();
    // SAFETY: Initialised just now.
    let core = unsafe { VfioCore::from_raw(vdev.cast()) };
    from_result(|| {
        let result = (|| {
            let (vendor, id) = core.id();
            let chip = chip::of(vendor, id).ok_or_else(|| {
                user_err!(
                    core.dev(),
                    "{vendor:04x}:{id:04x} is not a function that this driver can migrate; use vfio-pci\n"
                );
                ENODEV
            })?;
            let function = Function::new(core, chip)?;
            // SAFETY: The memory is ours, does not move, and is dropped by `release` only. On an error
            // nothing is left in it.
            unsafe { function.__init((*device).function.as_mut_ptr()) }
        })();
        if result.is_err() {
            // SAFETY: Undoes the above; the VFIO core does not call `release` after an error.
            unsafe { bindings::vfio_pci_core_release_dev(vdev) };
        }
        result.map(|()| 0)
    })
}

extern "C" fn release(vdev: *mut bindings::vfio_device) {
    let device: *mut Device = vdev.cast();
    // SAFETY: The last reference is gone and `init` had succeeded; this is called once.
    unsafe {
        (*device).function.assume_init_drop();
        bindings::vfio_pci_core_release_dev(vdev);
    }
}

extern "C" fn open_device(vdev: *mut bindings::vfio_device) -> c_int {
    // SAFETY: The VFIO core calls on a registered device.
    let device = unsafe { Device::from_vdev(vdev) };
    from_result(|| device.open().map(|()| 0))
}

extern "C" fn close_device(vdev: *mut bindings::vfio_device) {
    // SAFETY: As in `open_device`.
    unsafe { Device::from_vdev(vdev) }.close();
}

extern "C" fn read(
    vdev: *mut bindings::vfio_device,
    user: *mut c_char,
    len: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: The VFIO core calls on an open device, with its own copy of the position.
    let (device, pos) = unsafe { (Device::from_vdev(vdev), &mut *pos) };
    // CAST: at most `len`, which the VFS limits.
    device
        .read(UserPtr::from_ptr(user.cast()), len, pos)
        .map_or_else(|e| e.to_errno() as isize, |n| n as isize)
}

extern "C" fn write(
    vdev: *mut bindings::vfio_device,
    user: *const c_char,
    len: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: As in `read`.
    let (device, pos) = unsafe { (Device::from_vdev(vdev), &mut *pos) };
    // CAST: as in `read`.
    device
        .write(UserPtr::from_ptr(user.cast_mut().cast()), len, pos)
        .map_or_else(|e| e.to_errno() as isize, |n| n as isize)
}

extern "C" fn ioctl(vdev: *mut bindings::vfio_device, cmd: c_uint, arg: c_ulong) -> c_long {
    // SAFETY: As in `open_device`.
    unsafe { Device::from_vdev(vdev) }.ioctl(cmd, arg)
}

extern "C" fn dma_unmap(vdev: *mut bindings::vfio_device, _iova: u64, _length: u64) {
    // SAFETY: As in `open_device`.
    unsafe { Device::from_vdev(vdev) }
        .function()
        .scope
        .unmapping();
}

extern "C" fn set_state(
    vdev: *mut bindings::vfio_device,
    new: bindings::vfio_device_mig_state,
) -> *mut bindings::file {
    // SAFETY: As in `open_device`.
    let device = unsafe { Device::from_vdev(vdev) };
    match device.with_migration(|migration| migration.go(device, new)) {
        Ok(None) => core::ptr::null_mut(),
        Ok(Some(file)) => file.into_raw(),
        Err(error) => error.to_ptr(),
    }
}

extern "C" fn get_state(
    vdev: *mut bindings::vfio_device,
    state: *mut bindings::vfio_device_mig_state,
) -> c_int {
    // SAFETY: As in `open_device`.
    let device = unsafe { Device::from_vdev(vdev) };
    let number = device.with_migration(|migration| migration.state().number());
    // SAFETY: The VFIO core passes a local variable.
    unsafe { *state = number };
    0
}

extern "C" fn get_data_size(_vdev: *mut bindings::vfio_device, length: *mut c_ulong) -> c_int {
    // SAFETY: The VFIO core passes a local variable.
    unsafe { *length = crate::migration::STREAM_MAX as c_ulong };
    0
}
