// SPDX-License-Identifier: GPL-2.0

//! PCI functions and drivers.
//!
//! `kernel::pci::Driver` of 7.3 has probe and remove only. A NIC driver needs the error handlers and
//! shutdown as well, so this is an adapter of its own over the same C structures.

use crate::{
    bindings,
    sysfs, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device,
    device_id::IdTable,
    error::to_result,
    pci::DeviceId,
    prelude::*,
    str::{
        CStr,
        CString, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    ThisModule,
};

/// A PCI function that stays bound to its driver while this handle exists.
///
/// Handles are made by [`Driver::probe`]'s caller only and are kept in the driver's data, which is
/// dropped before the function is released.
#[derive(Clone, Copy)]
pub struct Function(NonNull<bindings::pci_dev>);

// SAFETY: The pointer is valid as long as the driver is bound, on every CPU, and all methods call C
// functions that do their own locking.
unsafe impl Send for Function {}
// SAFETY: As above.
unsafe impl Sync for Function {}

impl Function {
    /// The C structure.
    #[inline(always)]
    pub fn as_raw(self) -> *mut bindings::pci_dev {
        self.0.as_ptr()
    }

    /// The embedded `struct device`.
    #[inline(always)]
    pub fn device_raw(self) -> *mut bindings::device {
        // SAFETY: The function is bound, hence the structure is valid.
        unsafe { &raw mut (*self.as_raw()).dev }
    }

    /// The embedded device, for messages and allocations.
    pub fn device(&self) -> &device::Device<device::Bound> {
        // SAFETY: The function is bound to its driver as long as this handle exists.
        unsafe { device::Device::from_raw(self.device_raw()) }
    }

    /// PCI device id.
    pub fn device_id(self) -> u16 {
        // SAFETY: The structure is valid; the field does not change.
        unsafe { (*self.as_raw()).device }
    }

    /// Reads a byte of the configuration space.
    pub fn config_u8(self, offset: i32) -> Result<u8> {
        let mut value = 0;
        // SAFETY: The structure is valid and `value` is writable.
        to_result(unsafe { bindings::pci_read_config_byte(self.as_raw(), offset, &mut value) })?;
        Ok(value)
    }

    /// Reads a 32-bit word of the configuration space.
    pub fn config_u32(self, offset: i32) -> Result<u32> {
        let mut value = 0;
        // SAFETY: The structure is valid and `value` is writable.
        to_result(unsafe { bindings::pci_read_config_dword(self.as_raw(), offset, &mut value) })?;
        Ok(value)
    }

    /// Writes a 32-bit word of the configuration space.
    pub fn set_config_u32(self, offset: i32, value: u32) -> Result {
        // SAFETY: The structure is valid.
        to_result(unsafe { bindings::pci_write_config_dword(self.as_raw(), offset, value) })
    }

    /// Whether the function can wake the machine.
    pub fn can_wake(self) -> bool {
        // SAFETY: The structure is valid.
        unsafe { bindings::compsc_can_wakeup(self.device_raw()) }
    }

    /// Chooses whether the function wakes the machine from now on.
    pub fn set_wakeup(self, on: bool) {
        // A function that cannot is not asked to.
        // SAFETY: The structure is valid.
        let _ = unsafe { bindings::device_set_wakeup_enable(self.device_raw(), on) };
    }

    /// Puts the function to sleep, to wake the machine, if that is being powered off.
    pub fn wake_from_off(self) {
        // SAFETY: The structure is valid, and the function is not used any more.
        unsafe { bindings::compsc_wake_from_off(self.as_raw()) };
    }

    /// The serial number of the function's configuration space, if it has one.
    pub fn serial_number(self) -> Result<Option<CString>> {
        // SAFETY: The structure is valid.
        let serial = unsafe { bindings::pci_get_dsn(self.as_raw()) };
        if serial == 0 {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = serial.to_be_bytes();
        CString::try_from_fmt(fmt!(
            "{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{f:02x}-{g:02x}-{h:02x}"
        ))
        .map(Some)
    }

    /// Offset of the first capability with this id, or the next one after the capability at `after`.
    pub fn find_capability(self, id: u8, after: Option<u8>) -> Option<u8> {
        // SAFETY: The structure is valid.
        let found = unsafe {
            match after {
                None => bindings::pci_find_capability(self.as_raw(), id.into()),
                Some(at) => bindings::pci_find_next_capability(self.as_raw(), at, id.into()),
            }
        };
        // CAST: Offsets of standard capabilities are below 256.
        (found != 0).then_some(found as u8)
    }

    /// Resets the function (FLR), with the driver's [`Driver::reset_prepare`] and
    /// [`Driver::reset_done`] around it. Sleeps.
    pub fn reset(self) -> Result {
        // SAFETY: The structure is valid; the function takes the device lock itself.
        to_result(unsafe { bindings::pci_reset_function(self.as_raw()) })
    }

    /// Makes `count` virtual functions. Their drivers may be bound before this returns.
    pub fn enable_sriov(self, count: usize) -> Result {
        // CAST: Few functions.
        // SAFETY: The structure is valid.
        to_result(unsafe { bindings::pci_enable_sriov(self.as_raw(), count as i32) })
    }

    /// Removes all virtual functions, waiting for their users.
    pub fn disable_sriov(self) {
        // SAFETY: The structure is valid.
        unsafe { bindings::pci_disable_sriov(self.as_raw()) };
    }

    /// Limits the number of virtual functions.
    pub fn limit_vfs(self, count: usize) -> Result {
        // CAST: Few functions.
        // SAFETY: The structure is valid and has no virtual functions yet.
        to_result(unsafe { bindings::pci_sriov_set_totalvfs(self.as_raw(), count as u16) })
    }

    /// Whether a virtual function is assigned to a virtual machine, or in the hands of a program.
    pub fn vfs_in_use(self) -> bool {
        // SAFETY: The structure is valid.
        unsafe { bindings::compsc_vfs_in_use(self.as_raw()) }
    }

    /// Bus number, device and function as the kernel names the function in its messages.
    pub fn name(&self) -> &CStr {
        // SAFETY: The name of a bound device is a NUL-terminated string that does not change.
        unsafe {
            let dev = self.device_raw();
            let init = (*dev).init_name;
            let name = if init.is_null() {
                (*dev).kobj.name
            } else {
                init
            };
            CStr::from_char_ptr(name)
        }
    }
}

/// The enabled state of a function: memory decoding, bus mastering, 64-bit DMA, regions claimed.
///
/// Dropping it undoes all of that.
pub struct Enabled(Function);

impl Enabled {
    /// Enables `function` and claims its regions under `name`.
    pub fn new(function: Function, name: &'static CStr) -> Result<Self> {
        // SAFETY: The structure is valid, and probe has exclusive use of the function.
        unsafe {
            to_result(bindings::pci_enable_device_mem(function.as_raw()))?;
            let claimed = to_result(bindings::compsc_dma_set_mask_and_coherent(
                function.device_raw(),
                u64::MAX,
            ))
            .and_then(|()| {
                to_result(bindings::compsc_pci_request_mem_regions(
                    function.as_raw(),
                    name.as_char_ptr(),
                ))
            });
            if let Err(e) = claimed {
                bindings::pci_disable_device(function.as_raw());
                return Err(e);
            }
            bindings::pci_set_master(function.as_raw());
            // What a bus error's recovery restores: the core's copy is from before all this.
            bindings::pci_save_state(function.as_raw());
        }
        Ok(Self(function))
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: The constructor enabled the function and claimed its regions.
        unsafe {
            bindings::compsc_pci_release_mem_regions(self.0.as_raw());
            bindings::pci_disable_device(self.0.as_raw());
        }
    }
}

/// A driver of PCI functions.
pub trait Driver: Send + Sync + Sized + 'static {
    /// Functions that the driver takes.
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()>;

    /// Attributes of bound functions.
    const ATTRIBUTES: &'static sysfs::Groups<Self>;

    /// Takes a function.
    fn probe(function: Function) -> Result<Pin<KBox<Self>>>;

    /// The driver is about to be unbound; the data is dropped afterwards.
    fn remove(&self);

    /// The machine goes down: stop DMA.
    fn shutdown(&self);

    /// The function is about to be reset by somebody else: leave the hardware alone until
    /// [`reset_done`](Self::reset_done).
    fn reset_prepare(&self);

    /// An error has cut the function off: what it reads means nothing. Otherwise as
    /// [`reset_prepare`](Self::reset_prepare).
    fn cut_off(&self);

    /// The machine will be suspended, or its memory saved: stop DMA, and leave the hardware alone until
    /// [`reset_done`](Self::reset_done).
    fn suspend(&self);

    /// The function was reset, or resumed: bring it back.
    fn reset_done(&self);

    /// Whether the driver makes virtual functions.
    const SRIOV: bool = false;

    /// Makes so many virtual functions, or removes them all. Returns how many there are.
    fn set_vfs(&self, _count: usize) -> Result<usize> {
        Err(EOPNOTSUPP)
    }
}

/// A registered driver. Dropping it unbinds every function.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Driver> {
    #[pin]
    raw: Opaque<bindings::pci_driver>,
    #[pin]
    handlers: Opaque<bindings::pci_error_handlers>,
    #[pin]
    pm: Opaque<bindings::dev_pm_ops>,
    driver: PhantomData<T>,
}

// SAFETY: There is nothing to be done with a shared reference.
unsafe impl<T: Driver> Sync for Registration<T> {}
// SAFETY: Registration and its end may happen on any thread.
unsafe impl<T: Driver> Send for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers the driver under `name`.
    pub fn new(name: &'static CStr, module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: The closure initialises all fields on success, and nothing needs to be undone on
        // failure: an unregistered `pci_driver` owns nothing.
        unsafe {
            pin_init::pin_init_from_closure(move |slot: *mut Self| {
                let raw = Opaque::cast_into(&raw const (*slot).raw);
                let handlers = Opaque::cast_into(&raw const (*slot).handlers);
                let pm = Opaque::cast_into(&raw const (*slot).pm);
                raw.write(bindings::pci_driver::default());
                handlers.write(bindings::pci_error_handlers {
                    error_detected: Some(Self::error_detected),
                    slot_reset: Some(Self::slot_reset),
                    resume: Some(Self::resume_after_error),
                    reset_prepare: Some(Self::reset_prepare),
                    reset_done: Some(Self::reset_done),
                    ..Default::default()
                });
                pm.write(bindings::dev_pm_ops {
                    suspend: Some(Self::suspend),
                    resume: Some(Self::resume),
                    freeze: Some(Self::suspend),
                    thaw: Some(Self::resume),
                    poweroff: Some(Self::suspend),
                    restore: Some(Self::resume),
                    ..Default::default()
                });
                (*raw).name = name.as_char_ptr();
                (*raw).id_table = T::ID_TABLE.as_ptr();
                (*raw).probe = Some(Self::probe);
                (*raw).remove = Some(Self::remove);
                (*raw).shutdown = Some(Self::shutdown);
                if T::SRIOV {
                    (*raw).sriov_configure = Some(Self::sriov_configure);
                }
                (*raw).err_handler = handlers;
                (*raw).driver.pm = pm;
                (*raw).dev_groups = T::ATTRIBUTES.as_raw();
                to_result(bindings::__pci_register_driver(
                    raw,
                    module.as_ptr(),
                    name.as_char_ptr(),
                ))
            })
        }
    }

    /// The driver's data of a bound function.
    ///
    /// # Safety
    ///
    /// `pdev` is bound to this driver, and the PCI core keeps it bound for the returned lifetime.
    unsafe fn data<'a>(pdev: *mut bindings::pci_dev) -> Pin<&'a T> {
        // SAFETY: A bound function's driver data is what `probe` stored.
        unsafe {
            let data = (*pdev).dev.driver_data;
            <Pin<KBox<T>> as ForeignOwnable>::borrow(data)
        }
    }

    extern "C" fn probe(
        pdev: *mut bindings::pci_dev,
        _id: *const bindings::pci_device_id,
    ) -> c_int {
        kernel::error::from_result(|| {
            let function = Function(NonNull::new(pdev).ok_or(EINVAL)?);
            let data = T::probe(function)?;
            // SAFETY: Probe has exclusive use of the function.
            unsafe { (*pdev).dev.driver_data = data.into_foreign() };
            Ok(0)
        })
    }

    extern "C" fn remove(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core calls this once for a function that was probed with success; nobody else
        // uses the data afterwards.
        unsafe {
            Self::data(pdev).remove();
            let data = core::mem::replace(&mut (*pdev).dev.driver_data, core::ptr::null_mut());
            drop(<Pin<KBox<T>> as ForeignOwnable>::from_foreign(data));
        }
    }

    extern "C" fn shutdown(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core calls this for bound functions only, under the device lock.
        unsafe { Self::data(pdev) }.shutdown();
    }

    extern "C" fn sriov_configure(pdev: *mut bindings::pci_dev, count: c_int) -> c_int {
        // SAFETY: As for `shutdown`.
        let data = unsafe { Self::data(pdev) };
        kernel::error::from_result(|| {
            let count = usize::try_from(count).map_err(|_| EINVAL)?;
            // CAST: Few functions.
            data.set_vfs(count).map(|count| count as c_int)
        })
    }

    extern "C" fn reset_prepare(pdev: *mut bindings::pci_dev) {
        // SAFETY: As for `shutdown`.
        unsafe { Self::data(pdev) }.reset_prepare();
        if T::SRIOV {
            // The reset takes the virtual functions' configuration with it, and nobody tells their drivers.
            // SAFETY: The function is bound, and its device lock held.
            unsafe { bindings::compsc_vfs_save_state(pdev) };
        }
    }

    extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
        if T::SRIOV {
            // SAFETY: As for `reset_prepare`; the core has made the virtual functions again.
            unsafe { bindings::compsc_vfs_restore_state(pdev) };
        }
        // SAFETY: As for `shutdown`.
        unsafe { Self::data(pdev) }.reset_done();
    }

    extern "C" fn error_detected(
        pdev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        // SAFETY: As for `shutdown`.
        unsafe { Self::data(pdev) }.cut_off();
        if state == bindings::pci_channel_io_perm_failure {
            bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
        } else {
            bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET
        }
    }

    extern "C" fn slot_reset(pdev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
        let mut command = 0;
        // SAFETY: The function is bound and the PCI core holds the device lock. The state is that of probe, or of a
        // later reset: memory decoding and bus mastering are on in it.
        let gone = unsafe {
            bindings::pci_restore_state(pdev);
            // Not the identity, of which a virtual function has none.
            let at = bindings::PCI_COMMAND as c_int;
            bindings::pci_read_config_dword(pdev, at, &mut command) != 0
        };
        if gone || command == u32::MAX {
            return bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT;
        }
        if T::SRIOV {
            // The distribution's driver of a virtual function restores all but its vectors.
            // SAFETY: The function is bound, its device lock held, and its virtual functions are there again.
            unsafe { bindings::compsc_vfs_restore_msi_state(pdev) };
        }
        bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED
    }

    extern "C" fn resume_after_error(pdev: *mut bindings::pci_dev) {
        // SAFETY: As for `shutdown`.
        unsafe { Self::data(pdev) }.reset_done();
    }

    extern "C" fn suspend(dev: *mut bindings::device) -> c_int {
        // SAFETY: The PM core calls this for a bound `struct pci_dev`'s device.
        unsafe { Self::data(Self::pdev(dev)) }.suspend();
        0
    }

    extern "C" fn resume(dev: *mut bindings::device) -> c_int {
        // SAFETY: As for `suspend`; the PCI core has restored the configuration space.
        unsafe { Self::data(Self::pdev(dev)) }.reset_done();
        0
    }

    /// # Safety
    ///
    /// `dev` is embedded in a `struct pci_dev`.
    unsafe fn pdev(dev: *mut bindings::device) -> *mut bindings::pci_dev {
        // SAFETY: By this function's requirement.
        unsafe { kernel::container_of!(dev, bindings::pci_dev, dev) }
    }
}

// SAFETY: A bound function's driver data is dropped by `remove`, before which the PCI core's users are gone.
unsafe impl<T: Driver> sysfs::Owner for T {
    unsafe fn of<'a>(dev: *mut bindings::device) -> &'a Self {
        // SAFETY: The caller's device is that of a function which is bound to this driver.
        unsafe { Registration::<T>::data(Registration::<T>::pdev(dev)) }.get_ref()
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The driver was registered when `self` was made.
        unsafe { bindings::pci_unregister_driver(self.raw.get()) };
    }
}

/// Declares a module that holds one PCI driver: `module_pci_driver! { Type, "name", metadata… }`.
#[macro_export]
macro_rules! module_pci_driver {
    ($driver:ty, name: $name:literal, $($metadata:tt)*) => {
        #[::kernel::prelude::pin_data]
        struct DriverModule {
            #[pin]
            driver: $crate::pci::Registration<$driver>,
        }

        impl ::kernel::InPlaceModule for DriverModule {
            fn init(
                module: &'static ::kernel::ThisModule,
            ) -> impl ::pin_init::PinInit<Self, ::kernel::error::Error> {
                ::kernel::try_pin_init!(Self {
                    driver <- $crate::pci::Registration::new(
                        <Self as ::kernel::ModuleMetadata>::NAME,
                        module,
                    ),
                })
            }
        }

        ::kernel::prelude::module! {
            type: DriverModule,
            name: $name,
            $($metadata)*
        }
    };
}
