// SPDX-License-Identifier: GPL-2.0

//! Device type `82599vf`: a virtual function. QEMU's SR-IOV code makes them when the PF is realized.

use crate::abi;
use crate::abi::Errp;
use crate::abi::Object;
use crate::function;
use crate::function::Bars;
use crate::function::STATE;
use crate::function::Unit;
use crate::function::fail;
use crate::model::Model;
use crate::pf;
use core::ffi::CStr;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use model_82599::Function;
use model_82599::VF_SPACE;
use model_82599::VF_VECTORS;

/// What follows the parent's instance.
#[repr(C, align(16))]
struct State {
    bars: Bars,
    /// The PF; it outlives its VFs.
    pf: *mut Object,
    number: u8,
}

const _: () = assert!(STATE % align_of::<State>() == 0);

/// The virtual function.
pub(crate) struct Vf;

/// Puts a VF where the model finds it, or takes it away.
fn enlist(model: &Model, function: Function, vf: *mut Object) {
    if let Function::Vf(n) = function {
        if let Some(slot) = model.qemu.vfs.get(usize::from(n)) {
            slot.set(vf);
        }
    }
}

impl Unit for Vf {
    const NAME: &'static CStr = c"82599vf";
    const DESCRIPTION: &'static CStr = c"Intel 82599 virtual function";
    const DEVICE_ID: u16 = 0x10ED;
    const MMIO_NAME: &'static CStr = c"82599vf-mmio";
    const MMIO_SIZE: u64 = VF_SPACE as u64;
    const MSIX_NAME: &'static CStr = c"82599vf-msix";
    const MSIX_BAR: u8 = 3;
    const VECTORS: u16 = VF_VECTORS as u16;
    const STATE_SIZE: usize = size_of::<State>();

    unsafe fn locate<'a>(vf: *mut Object) -> Option<(&'a Model, Function)> {
        // SAFETY: An instance of this type has the state there; its PF is an instance of the PF's type.
        unsafe {
            let at = |offset| STATE + offset;
            let pf: *mut Object = abi::get(vf, at(offset_of!(State, pf)));
            let number: u8 = abi::get(vf, at(offset_of!(State, number)));
            if pf.is_null() {
                return None;
            }
            pf::model(pf).map(|model| (model, Function::Vf(number)))
        }
    }

    unsafe fn bars<'a>(vf: *mut Object) -> &'a mut Bars {
        // SAFETY: An instance of this type has the regions there.
        unsafe { &mut *abi::member::<Bars>(vf, STATE + offset_of!(State, bars)) }
    }

    unsafe extern "C" fn realize(vf: *mut Object, errp: Errp) {
        // SAFETY: QEMU calls this for an instance of this type, once, while its PF is being realized.
        unsafe {
            let parent = abi::pcie_sriov_get_pf(vf);
            if parent.is_null() {
                return fail(errp, c"a virtual function is made by a 82599 only");
            }
            if !function::set_up::<Self>(vf, errp) {
                return;
            }
            abi::pcie_ari_init(vf, function::ARI);
            let state = &mut *abi::member::<State>(vf, STATE);
            state.number = abi::pcie_sriov_vf_number(vf) as u8;
            state.pf = parent;
            if let Some((model, function)) = Self::locate(vf) {
                enlist(model, function, vf);
            }
        }
    }

    unsafe extern "C" fn exit(vf: *mut Object) {
        // SAFETY: QEMU calls this once for a realized instance.
        unsafe {
            if let Some((model, function)) = Self::locate(vf) {
                enlist(model, function, ptr::null_mut());
            }
            abi::set(vf, STATE + offset_of!(State, pf), ptr::null_mut::<Object>());
            function::take_down::<Self>(vf);
        }
    }

    fn reset(model: &Model, function: Function) {
        if let Function::Vf(n) = function {
            model.enter(|device, access| device.vf_reset(access, n));
        }
    }

    unsafe fn finish_class(class: *mut c_void) {
        // SAFETY: The class has the member there.
        unsafe { abi::set(class, abi::CLASS_USER_CREATABLE, false) }
    }
}
