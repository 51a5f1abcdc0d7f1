// SPDX-License-Identifier: GPL-2.0

//! What the device types of PF and VF have in common: class, BARs, MSI-X, PCI Express capabilities, reset of the function.

use crate::abi;
use crate::abi::Errp;
use crate::abi::Object;
use crate::model::Model;
use core::ffi::CStr;
use core::ffi::c_int;
use core::ffi::c_void;
use core::ptr;
use model_82599::Function;

/// Offset of a type's own state in an instance: it follows that of pci-device.
pub(crate) const STATE: usize = abi::PCI_DEVICE_SIZE;

/// MSI-X table and pending bits in their BAR.
pub(crate) const MSIX_SIZE: u64 = 0x4000;
const MSIX_PBA: u32 = 0x2000;

// Offsets of the capabilities (datasheet 9.3 and 9.5).
const MSIX: u8 = 0x70;
/// PCI Express.
pub(crate) const EXPRESS: u8 = 0xA0;
const AER: u16 = 0x100;
const AER_SIZE: u16 = 0x40;
/// Alternative routing-id interpretation.
pub(crate) const ARI: u16 = 0x150;

/// Room for a QEMU memory region, which is 272 bytes.
#[repr(C, align(16))]
struct Region([u8; 512]);

impl Region {
    fn ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }
}

/// The memory regions behind the BARs of a function. Every member is valid when zero.
#[repr(C, align(16))]
pub(crate) struct Bars {
    mmio: Region,
    msix: Region,
}

/// A device type. Its functions are called with instances of it only.
pub(crate) trait Unit: Sized {
    /// Name of the type.
    const NAME: &'static CStr;
    const DESCRIPTION: &'static CStr;
    const DEVICE_ID: u16;
    const MMIO_NAME: &'static CStr;
    /// Size of BAR 0.
    const MMIO_SIZE: u64;
    const MSIX_NAME: &'static CStr;
    const MSIX_BAR: u8;
    const VECTORS: u16;
    /// Size of the state that follows the parent's instance.
    const STATE_SIZE: usize;

    /// The model, and which function of it this is; `None` before it is realized and after its exit.
    ///
    /// # Safety
    ///
    /// `object` must be an instance of this type.
    unsafe fn locate<'a>(object: *mut Object) -> Option<(&'a Model, Function)>;
    /// # Safety
    ///
    /// As for [`Unit::locate`], and nobody else uses the regions.
    unsafe fn bars<'a>(object: *mut Object) -> &'a mut Bars;
    /// # Safety
    ///
    /// QEMU calls it, once for an instance.
    unsafe extern "C" fn realize(object: *mut Object, errp: Errp);
    /// # Safety
    ///
    /// QEMU calls it, once for an instance that was realized.
    unsafe extern "C" fn exit(object: *mut Object);
    /// The PCI capability of a PF says how many VFs there are.
    fn config_written(_object: *mut Object, _model: &Model) {}
    /// Resets the function.
    fn reset(model: &Model, function: Function);
    /// The rest of the class.
    ///
    /// # Safety
    ///
    /// `class` must be the class of this type, while it is initialized.
    unsafe fn finish_class(class: *mut c_void);

    const OPS: &'static abi::MemoryRegionOps = &abi::MemoryRegionOps {
        read: mmio_read::<Self>,
        write: mmio_write::<Self>,
        with_attrs: [0; 2],
        endianness: 2,
        gap: 0,
        valid_min: 1,
        valid_max: 8,
        valid_unaligned: false,
        valid_accepts: 0,
        impl_min: 4,
        impl_max: 4,
        impl_unaligned: false,
    };
    const VMSTATE: &'static Shared<abi::VmState> = &Shared(abi::VmState {
        name: Self::NAME.as_ptr(),
        unmigratable: true,
        rest: [0; 12],
    });
}

/// A constant table that QEMU reads.
pub(crate) struct Shared<T>(pub(crate) T);

// SAFETY: Nobody writes the tables.
unsafe impl<T> Sync for Shared<T> {}

unsafe extern "C" fn mmio_read<U: Unit>(opaque: *mut c_void, address: u64, _size: u32) -> u64 {
    // SAFETY: The region was made with the function as its opaque.
    let Some((model, function)) = (unsafe { U::locate(opaque) }) else {
        return 0;
    };
    let value = model.enter(|device, access| device.read(access, function, address as u32));
    if value.is_some() {
        model.flush();
    }
    u64::from(value.unwrap_or(u32::MAX))
}

unsafe extern "C" fn mmio_write<U: Unit>(
    opaque: *mut c_void,
    address: u64,
    value: u64,
    _size: u32,
) {
    // SAFETY: As in mmio_read.
    let Some((model, function)) = (unsafe { U::locate(opaque) }) else {
        return;
    };
    if model
        .enter(|device, access| device.write(access, function, address as u32, value as u32))
        .is_some()
    {
        model.flush();
    }
}

/// Sets an error for a step of realize that gave none.
///
/// # Safety
///
/// `errp` must be the error pointer of the realize that runs.
pub(crate) unsafe fn fail(errp: Errp, what: &CStr) {
    let (file, function) = (c"function.rs".as_ptr(), c"realize".as_ptr());
    // SAFETY: The arguments fit the format.
    unsafe {
        abi::error_setg_internal(
            errp,
            file,
            0,
            function,
            c"82599: %s".as_ptr(),
            what.as_ptr(),
        );
    }
}

/// Gives a function its BARs and the capabilities that all have. False, and nothing left to undo, if that fails.
///
/// # Safety
///
/// To be called from the realize of the type `U`.
pub(crate) unsafe fn set_up<U: Unit>(object: *mut Object, errp: Errp) -> bool {
    // SAFETY: Every function is called with the arguments its interface asks for, on members that stay where they
    // are until the instance is freed.
    unsafe {
        let bars = U::bars(object);
        let (mmio, msix) = (bars.mmio.ptr(), bars.msix.ptr());
        let name = U::MMIO_NAME.as_ptr();
        abi::memory_region_init_io(mmio, object, U::OPS, object, name, U::MMIO_SIZE);
        abi::pci_register_bar(object, 0, abi::BAR_MEM64_PREF, mmio);
        abi::memory_region_init(msix, object, U::MSIX_NAME.as_ptr(), MSIX_SIZE);
        let bar = U::MSIX_BAR;
        abi::pci_register_bar(object, c_int::from(bar), abi::BAR_MEM64_PREF, msix);
        if abi::pcie_endpoint_cap_init(object, EXPRESS) < 0 {
            fail(errp, c"no PCI Express capability");
            return false;
        }
        let vectors = U::VECTORS;
        if abi::msix_init(
            object, vectors, msix, bar, 0, msix, bar, MSIX_PBA, MSIX, errp,
        ) < 0
        {
            abi::pcie_cap_exit(object);
            return false;
        }
        for vector in 0..u32::from(vectors) {
            abi::msix_vector_use(object, vector);
        }
        abi::pcie_cap_flr_init(object);
        if abi::pcie_aer_init(object, 1, AER, AER_SIZE, errp) < 0 {
            take_down_msix::<U>(object);
            abi::pcie_cap_exit(object);
            return false;
        }
    }
    true
}

unsafe fn take_down_msix<U: Unit>(object: *mut Object) {
    // SAFETY: Called for a function that set_up has given MSI-X.
    unsafe {
        let msix = U::bars(object).msix.ptr();
        abi::msix_unuse_all_vectors(object);
        abi::msix_uninit(object, msix, msix);
    }
}

/// Takes back what [`set_up`] did.
///
/// # Safety
///
/// [`set_up`] succeeded for this function, and this was not called since.
pub(crate) unsafe fn take_down<U: Unit>(object: *mut Object) {
    // SAFETY: As the caller guarantees.
    unsafe {
        abi::pcie_aer_exit(object);
        take_down_msix::<U>(object);
        abi::pcie_cap_exit(object);
    }
}

unsafe extern "C" fn config_write<U: Unit>(
    object: *mut Object,
    address: u32,
    value: u32,
    length: c_int,
) {
    const COMMAND: u32 = 4;
    const BUS_MASTER: u32 = 4;
    // SAFETY: QEMU calls this for a realized instance, with an access inside of the configuration space. The
    // model is looked for again where a call may have ended the function's life.
    unsafe {
        abi::pci_default_write_config(object, address, value, length);
        if let Some((model, _)) = U::locate(object) {
            U::config_written(object, model);
        }
        abi::pcie_cap_flr_write_config(object, address, value, length);
        let Some((model, _)) = U::locate(object) else {
            return;
        };
        // Bus mastering may have been switched on.
        if address == COMMAND
            && value & BUS_MASTER != 0
            && model
                .enter(|device, access| device.bus_master(access))
                .is_some()
        {
            model.flush();
        }
    }
}

unsafe extern "C" fn reset_hold<U: Unit>(object: *mut Object, _kind: c_int) {
    // SAFETY: QEMU calls this for an instance of this type.
    if let Some((model, function)) = unsafe { U::locate(object) } {
        U::reset(model, function);
    }
}

unsafe extern "C" fn class_init<U: Unit>(class: *mut c_void, _data: *const c_void) {
    // SAFETY: QEMU calls this for a class derived from pci-device. The layouts were checked when the plugin was
    // loaded; an interface's class is found by a cast.
    unsafe {
        let realize: unsafe extern "C" fn(*mut Object, Errp) = U::realize;
        let exit: unsafe extern "C" fn(*mut Object) = U::exit;
        let config_write: unsafe extern "C" fn(*mut Object, u32, u32, c_int) = config_write::<U>;
        let reset_hold: unsafe extern "C" fn(*mut Object, c_int) = reset_hold::<U>;
        abi::set(class, abi::CLASS_REALIZE, realize);
        abi::set(class, abi::CLASS_EXIT, exit);
        abi::set(class, abi::CLASS_CONFIG_WRITE, config_write);
        abi::set(class, abi::CLASS_VENDOR, 0x8086u16);
        abi::set(class, abi::CLASS_DEVICE, U::DEVICE_ID);
        abi::set(class, abi::CLASS_REVISION, 1u8);
        abi::set(class, abi::CLASS_CLASS, 0x0200u16);
        abi::set(class, abi::CLASS_SUBSYSTEM_VENDOR, 0x8086u16);
        abi::set(class, abi::CLASS_SUBSYSTEM, 0x0003u16);
        abi::set(class, abi::CLASS_DESC, U::DESCRIPTION.as_ptr());
        let categories: u64 = abi::get(class, abi::CLASS_CATEGORIES);
        let categories = categories | abi::CATEGORY_NETWORK;
        abi::set(class, abi::CLASS_CATEGORIES, categories);
        abi::set(class, abi::CLASS_VMSD, &raw const U::VMSTATE.0);
        let name = c"resettable".as_ptr();
        let (file, function) = (c"function.rs".as_ptr(), c"class_init".as_ptr());
        let reset = abi::object_class_dynamic_cast_assert(class, name, file, 0, function);
        abi::set(reset, abi::CLASS_RESET_HOLD, reset_hold);
        U::finish_class(class);
    }
}

/// Registers a type: derived from pci-device, an Express endpoint.
pub(crate) fn register<U: Unit>() {
    let express = c"pci-express-device".as_ptr();
    let interfaces = [
        abi::InterfaceInfo { name: express },
        abi::InterfaceInfo { name: ptr::null() },
    ];
    let info = abi::TypeInfo {
        name: U::NAME.as_ptr(),
        parent: c"pci-device".as_ptr(),
        instance_size: STATE + U::STATE_SIZE,
        instance_align: 16,
        instance_init: None,
        instance_post_init: None,
        instance_finalize: None,
        is_abstract: false,
        class_size: 0,
        class_init: Some(class_init::<U>),
        class_base_init: None,
        class_data: ptr::null(),
        interfaces: interfaces.as_ptr(),
    };
    // SAFETY: QEMU copies the description.
    unsafe { abi::type_register_static(&info) };
}
