// SPDX-License-Identifier: GPL-2.0

//! Device type `82599vf`: a virtual function. QEMU's SR-IOV code makes them when the PF is realized.

use crate::abi;
use crate::abi::Errp;
use crate::abi::Object;
use crate::model::Model;
use crate::pf;
use crate::pf::Class;
use crate::pf::Region;
use crate::pf::Shared;
use core::ffi::c_int;
use core::ffi::c_void;
use core::ptr;
use model_82599::Function;
use model_82599::VF_SPACE;
use model_82599::VF_VECTORS;

/// Name of the type.
pub(crate) const NAME: &core::ffi::CStr = c"82599vf";
/// PCI device id.
pub(crate) const DEVICE_ID: u16 = 0x10ED;
/// Size of BAR 0.
pub(crate) const MMIO_SIZE: u64 = VF_SPACE as u64;
/// BAR of the MSI-X table, and its size.
pub(crate) const MSIX_BAR: c_int = 3;
pub(crate) const MSIX_SIZE: u64 = 0x4000;
const MSIX_PBA: u32 = 0x2000;

/// What follows the parent's instance.
#[repr(C, align(16))]
struct State {
    mmio: Region,
    msix: Region,
    /// The PF; it outlives its VFs.
    pf: *mut Object,
    number: u8,
}

const STATE: usize = abi::PCI_DEVICE_SIZE;
const _: () = assert!(STATE % align_of::<State>() == 0);

/// The model, and the number of a VF in it.
///
/// # Safety
///
/// `vf` must be an instance of this type.
unsafe fn model<'a>(vf: *mut Object) -> Option<(&'a Model, u8)> {
    // SAFETY: An instance of this type has the state there; its PF is an instance of the PF's type.
    unsafe {
        let state = &*abi::member::<State>(vf, STATE);
        if state.pf.is_null() {
            return None;
        }
        pf::model(state.pf).map(|model| (model, state.number))
    }
}

unsafe extern "C" fn mmio_read(opaque: *mut c_void, address: u64, _size: u32) -> u64 {
    // SAFETY: The region was made with the VF as its opaque.
    let Some((model, n)) = (unsafe { model(opaque) }) else {
        return 0;
    };
    let value = model.enter(|device, access| device.read(access, Function::Vf(n), address as u32));
    if value.is_some() {
        model.flush();
    }
    u64::from(value.unwrap_or(u32::MAX))
}

unsafe extern "C" fn mmio_write(opaque: *mut c_void, address: u64, value: u64, _size: u32) {
    // SAFETY: As in mmio_read.
    let Some((model, n)) = (unsafe { model(opaque) }) else {
        return;
    };
    if model
        .enter(|device, access| device.write(access, Function::Vf(n), address as u32, value as u32))
        .is_some()
    {
        model.flush();
    }
}

static MMIO: abi::MemoryRegionOps = abi::MemoryRegionOps {
    read: mmio_read,
    write: mmio_write,
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

unsafe extern "C" fn realize(vf: *mut Object, errp: Errp) {
    // SAFETY: QEMU calls this for an instance of this type, once, while its PF is being realized. Every function is
    // called with the arguments its interface asks for.
    unsafe {
        let parent = abi::pcie_sriov_get_pf(vf);
        if parent.is_null() {
            abi::error_setg_internal(
                errp,
                c"vf.rs".as_ptr(),
                0,
                c"realize".as_ptr(),
                c"82599vf: made by a 82599 only".as_ptr(),
            );
            return;
        }
        let state = &mut *abi::member::<State>(vf, STATE);
        abi::memory_region_init_io(
            state.mmio.ptr(),
            vf,
            &MMIO,
            vf,
            c"82599vf-mmio".as_ptr(),
            MMIO_SIZE,
        );
        abi::pci_register_bar(vf, 0, abi::BAR_MEM64_PREF, state.mmio.ptr());
        abi::memory_region_init(state.msix.ptr(), vf, c"82599vf-msix".as_ptr(), MSIX_SIZE);
        abi::pci_register_bar(vf, MSIX_BAR, abi::BAR_MEM64_PREF, state.msix.ptr());
        let (msix, bar) = (state.msix.ptr(), MSIX_BAR as u8);
        if abi::msix_init(
            vf,
            VF_VECTORS as u16,
            msix,
            bar,
            0,
            msix,
            bar,
            MSIX_PBA,
            0x70,
            errp,
        ) < 0
        {
            return;
        }
        for vector in 0..VF_VECTORS as u32 {
            abi::msix_vector_use(vf, vector);
        }
        if abi::pcie_endpoint_cap_init(vf, 0xA0) < 0 {
            abi::msix_unuse_all_vectors(vf);
            abi::msix_uninit(vf, msix, msix);
            let (file, function) = (c"vf.rs".as_ptr(), c"realize".as_ptr());
            abi::error_setg_internal(
                errp,
                file,
                0,
                function,
                c"82599vf: no PCI Express capability".as_ptr(),
            );
            return;
        }
        abi::pcie_cap_flr_init(vf);
        if abi::pcie_aer_init(vf, 1, 0x100, 0x40, errp) < 0 {
            abi::pcie_cap_exit(vf);
            abi::msix_unuse_all_vectors(vf);
            abi::msix_uninit(vf, msix, msix);
            return;
        }
        abi::pcie_ari_init(vf, 0x150);
        state.number = abi::pcie_sriov_vf_number(vf) as u8;
        state.pf = parent;
        if let Some((model, n)) = model(vf) {
            if let Some(slot) = model.qemu.vfs.get(usize::from(n)) {
                slot.set(vf);
            }
        }
    }
}

unsafe extern "C" fn exit(vf: *mut Object) {
    // SAFETY: QEMU calls this once for a realized instance.
    unsafe {
        if let Some((model, n)) = model(vf) {
            if let Some(slot) = model.qemu.vfs.get(usize::from(n)) {
                slot.set(ptr::null_mut());
            }
        }
        let state = &mut *abi::member::<State>(vf, STATE);
        state.pf = ptr::null_mut();
        abi::pcie_aer_exit(vf);
        abi::pcie_cap_exit(vf);
        abi::msix_unuse_all_vectors(vf);
        let msix = state.msix.ptr();
        abi::msix_uninit(vf, msix, msix);
    }
}

/// Lets the model know that bus mastering may have been switched on.
pub(crate) fn after_config_write(model: &Model, address: u32, value: u32) {
    const COMMAND: u32 = 4;
    const BUS_MASTER: u32 = 4;
    if address == COMMAND
        && value & BUS_MASTER != 0
        && model
            .enter(|device, access| device.bus_master(access))
            .is_some()
    {
        model.flush();
    }
}

unsafe extern "C" fn config_write(vf: *mut Object, address: u32, value: u32, length: c_int) {
    // SAFETY: QEMU calls this for a realized instance, with an access inside of the configuration space.
    unsafe {
        abi::pci_default_write_config(vf, address, value, length);
        abi::pcie_cap_flr_write_config(vf, address, value, length);
        if let Some((model, _)) = model(vf) {
            after_config_write(model, address, value);
        }
    }
}

unsafe extern "C" fn reset_hold(vf: *mut Object, _kind: c_int) {
    // SAFETY: QEMU calls this for an instance of this type.
    if let Some((model, n)) = unsafe { model(vf) } {
        model.enter(|device, access| device.vf_reset(access, n));
    }
}

static VMSTATE: Shared<abi::VmState> = Shared(abi::VmState {
    name: NAME.as_ptr(),
    unmigratable: true,
    rest: [0; 12],
});

static CLASS: Class = Class {
    realize,
    exit,
    config_write,
    reset_hold,
    device_id: DEVICE_ID,
    description: c"Intel 82599 virtual function",
    vmstate: &VMSTATE,
};

unsafe extern "C" fn class_init(class: *mut c_void, _data: *const c_void) {
    // SAFETY: QEMU calls this for the class of this type.
    unsafe {
        CLASS.fill(class);
        abi::set(class, abi::CLASS_USER_CREATABLE, false);
    }
}

/// Registers the type.
pub(crate) fn register() {
    pf::register_type(NAME, size_of::<State>(), class_init);
}
