// SPDX-License-Identifier: GPL-2.0

//! Device type `82599`: the physical function.

use crate::abi;
use crate::abi::Errp;
use crate::abi::Object;
use crate::function;
use crate::function::Bars;
use crate::function::STATE;
use crate::function::Shared;
use crate::function::Unit;
use crate::model::Model;
use crate::vf::Vf;
use core::ffi::CStr;
use core::ffi::c_char;
use core::ffi::c_int;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use model_82599::Config;
use model_82599::Function;
use model_82599::PF_SPACE;
use model_82599::PF_VECTORS;
use model_82599::POOLS;
use model_82599::Receive;

const VF_FIRST: u16 = 0x80;
const VF_STRIDE: u16 = 2;
// Offsets of the capabilities that a PF has and a VF has not.
const PM: u8 = 0x40;
const MSI: u8 = 0x50;
const SERIAL: u16 = 0x140;
const SRIOV: u16 = 0x160;

/// What follows the parent's instance. QEMU allocates it zeroed; every member is valid when zero.
#[repr(C, align(16))]
struct State {
    bars: Bars,
    timer: [u64; 8],
    conf: abi::NicConf,
    strict: bool,
    trace: bool,
    eitr_scale: u32,
    violations: u64,
    model: *mut Model,
}

const _: () = assert!(STATE % align_of::<State>() == 0);

/// The model behind a PF; null before it is realized and after its exit.
///
/// # Safety
///
/// `pf` must be an instance of this type.
pub(crate) unsafe fn model<'a>(pf: *mut Object) -> Option<&'a Model> {
    // SAFETY: An instance of this type has the state there. The model is freed in exit only, which cannot run
    // while a callback of the device does.
    unsafe { abi::get::<*mut Model>(pf, STATE + offset_of!(State, model)).as_ref() }
}

unsafe extern "C" fn receive(nc: *mut c_void, data: *const u8, length: usize) -> isize {
    // SAFETY: The card was made with the PF as its opaque; QEMU passes a frame of `length` bytes.
    let (model, frame) = unsafe {
        let Some(model) = model(abi::qemu_get_nic_opaque(nc)) else {
            return length as isize;
        };
        (model, core::slice::from_raw_parts(data, length))
    };
    match model.enter(|device, access| device.receive(access, frame)) {
        Some(Receive::Taken) => {
            model.flush_later();
            length as isize
        }
        Some(Receive::Later) => 0,
        None => {
            model.refused();
            0
        }
    }
}

unsafe extern "C" fn can_receive(nc: *mut c_void) -> bool {
    // SAFETY: As in receive.
    let Some(model) = (unsafe { model(abi::qemu_get_nic_opaque(nc)) }) else {
        return true;
    };
    if model.busy() {
        model.refused();
        return false;
    }
    true
}

unsafe extern "C" fn link_status_changed(nc: *mut c_void) {
    // SAFETY: As in receive; the member is where the interface says.
    let (model, down) = unsafe {
        let Some(model) = model(abi::qemu_get_nic_opaque(nc)) else {
            return;
        };
        (model, abi::get::<c_int>(nc, abi::NC_LINK_DOWN))
    };
    if model
        .enter(|device, access| device.set_cable(access, down == 0))
        .is_some()
    {
        model.flush_later();
    }
}

static NET: abi::NetClientInfo = abi::NetClientInfo {
    kind: 1,
    size: 40,
    receive,
    receive_iov: 0,
    can_receive,
    start_load_stop_cleanup: [0; 4],
    link_status_changed,
    rest: [0; 24],
};

unsafe extern "C" fn timer(opaque: *mut c_void) {
    // SAFETY: The timer was made with the PF as its opaque.
    let Some(model) = (unsafe { model(opaque) }) else {
        return;
    };
    if model.enter(|device, access| device.timer(access)).is_some() {
        model.flush();
    }
}

unsafe extern "C" fn bottom_half(opaque: *mut c_void) {
    // SAFETY: The bottom half was made with the PF as its opaque.
    if let Some(model) = unsafe { model(opaque) } {
        model.flush();
    }
}

unsafe fn realize(pf: *mut Object, errp: Errp) {
    // SAFETY: Called for an instance of this type, once. Every function is called with the arguments
    // its interface asks for, on members that stay where they are until the instance is freed.
    unsafe {
        let state = &mut *abi::member::<State>(pf, STATE);
        let config: *mut u8 = abi::get(pf, abi::PCI_CONFIG);
        *config.add(0x0C) = 0x10;
        *config.add(0x3D) = 1;
        let timer_memory = state.timer.as_mut_ptr().cast::<c_void>();
        abi::timer_init_full(
            timer_memory,
            ptr::null_mut(),
            abi::CLOCK_VIRTUAL,
            1,
            0,
            timer,
            pf,
        );
        abi::qemu_macaddr_default_if_unset(state.conf.mac.as_mut_ptr());
        let settings = Config {
            mac: state.conf.mac,
            strict: state.strict,
            trace: state.trace,
            eitr_scale: state.eitr_scale,
        };
        state.model = Box::into_raw(Box::new(Model::new(
            settings,
            pf,
            timer_memory,
            &raw mut state.violations,
        )));

        if !function::set_up::<Pf>(pf, errp) {
            return undo(pf, 0);
        }
        // Link capabilities and status: eight lanes of 5 GT/s (datasheet 9.3.11).
        let express = usize::from(function::EXPRESS);
        for offset in [express + 0x0C, express + 0x12] {
            *config.add(offset) = 0x82;
            *config.add(offset + 1) &= !0x03;
        }
        if abi::msi_init(pf, MSI, 1, true, true, errp) < 0 {
            return undo(pf, 1);
        }
        if abi::pci_pm_init(pf, PM, errp) < 0 {
            return undo(pf, 2);
        }
        // PMCSR: power state and PME enable are writable, PME status is cleared by writing 1.
        let wmask: *mut u8 = abi::get(pf, abi::PCI_WMASK);
        let w1cmask: *mut u8 = abi::get(pf, abi::PCI_W1CMASK);
        let pmcsr = usize::from(PM) + 4;
        *wmask.add(pmcsr) |= 0x03;
        *wmask.add(pmcsr + 1) |= 0x01;
        *w1cmask.add(pmcsr + 1) |= 0x80;
        let mac = state.conf.mac;
        let serial = [mac[5], mac[4], mac[3], 0xFF, 0xFF, mac[2], mac[1], mac[0]];
        abi::pcie_dev_ser_num_init(pf, SERIAL, u64::from_le_bytes(serial));
        abi::pcie_ari_init(pf, function::ARI);
        let total = POOLS as u16;
        let (vf_name, vf_id) = (Vf::NAME.as_ptr(), Vf::DEVICE_ID);
        if !abi::pcie_sriov_pf_init(
            pf, SRIOV, vf_name, vf_id, total, total, VF_FIRST, VF_STRIDE, errp,
        ) {
            return undo(pf, 2);
        }
        let bars = [(0, Vf::MMIO_SIZE), (Vf::MSIX_BAR, function::MSIX_SIZE)];
        for (bar, size) in bars {
            abi::pcie_sriov_pf_init_vf_bar(pf, c_int::from(bar), abi::BAR_MEM64_PREF, size);
        }

        let guard = abi::member::<c_void>(pf, abi::DEVICE_REENTRANCY_GUARD);
        let id: *const c_char = abi::get(pf, abi::DEVICE_ID);
        let nic = abi::qemu_new_nic(&NET, &raw mut state.conf, Pf::NAME.as_ptr(), id, guard, pf);
        let nc = abi::qemu_get_queue(nic);
        abi::qemu_format_nic_info_str(nc, state.conf.mac.as_mut_ptr());
        let down: c_int = abi::get(nc, abi::NC_LINK_DOWN);
        let bh = abi::qemu_bh_new_full(bottom_half, pf, Pf::NAME.as_ptr(), guard);
        if let Some(model) = state.model.as_ref() {
            model.qemu.nic.set(nic);
            model.qemu.bh.set(bh);
            model.enter(|device, access| device.set_cable(access, down == 0));
        }
        abi::object_property_add_uint64_ptr(
            pf,
            c"violations".as_ptr(),
            &raw const state.violations,
            1,
        );
    }
}

/// Takes back the first `steps` of what can be taken back.
unsafe fn undo(pf: *mut Object, steps: u32) {
    // SAFETY: Called from realize and exit, for an instance of this type whose first `steps` steps succeeded.
    unsafe {
        let state = &mut *abi::member::<State>(pf, STATE);
        if steps > 2 {
            if let Some(model) = state.model.as_ref() {
                abi::qemu_bh_delete(model.qemu.bh.replace(ptr::null_mut()));
                abi::qemu_del_nic(model.qemu.nic.replace(ptr::null_mut()));
            }
            abi::pcie_sriov_pf_exit(pf);
        }
        if steps > 1 {
            abi::msi_uninit(pf);
        }
        if steps > 0 {
            function::take_down::<Pf>(pf);
        }
        abi::timer_del(state.timer.as_mut_ptr().cast());
        let model = core::mem::replace(&mut state.model, ptr::null_mut());
        if let Some(model_ref) = model.as_ref() {
            model_ref.forget_qemu();
            // A call that is under way still uses it; such a model is left behind.
            if !model_ref.busy() {
                drop(Box::from_raw(model));
            }
        }
    }
}

const fn property(name: &'static CStr, info: *const c_void, offset: usize) -> abi::Property {
    abi::Property {
        name: name.as_ptr(),
        info,
        offset: (STATE + offset) as i64,
        link_type: ptr::null(),
        bitmask: 0,
        default: 0,
        array: [0; 2],
        bitnr: 0,
        set_default: false,
    }
}

static PROPERTIES: Shared<[abi::Property; 5]> = Shared([
    property(
        c"mac",
        &raw const abi::qdev_prop_macaddr,
        offset_of!(State, conf) + offset_of!(abi::NicConf, mac),
    ),
    property(
        c"netdev",
        &raw const abi::qdev_prop_netdev,
        offset_of!(State, conf) + offset_of!(abi::NicConf, peers),
    ),
    property(
        c"strict",
        &raw const abi::qdev_prop_bool,
        offset_of!(State, strict),
    ),
    property(
        c"trace",
        &raw const abi::qdev_prop_bool,
        offset_of!(State, trace),
    ),
    abi::Property {
        default: 8,
        set_default: true,
        ..property(
            c"eitr-scale",
            &raw const abi::qdev_prop_uint32,
            offset_of!(State, eitr_scale),
        )
    },
]);

/// The physical function.
pub(crate) struct Pf;

impl Unit for Pf {
    const NAME: &'static CStr = c"82599";
    const DESCRIPTION: &'static CStr = c"Intel 82599 10 Gigabit Ethernet controller";
    const DEVICE_ID: u16 = 0x10FB;
    const MMIO_NAME: &'static CStr = c"82599-mmio";
    const MMIO_SIZE: u64 = PF_SPACE as u64;
    const MSIX_NAME: &'static CStr = c"82599-msix";
    const MSIX_BAR: u8 = 4;
    const VECTORS: u16 = PF_VECTORS as u16;
    const STATE_SIZE: usize = size_of::<State>();

    unsafe fn locate<'a>(pf: *mut Object) -> Option<(&'a Model, Function)> {
        // SAFETY: As the caller guarantees.
        unsafe { model(pf).map(|model| (model, Function::Pf)) }
    }

    unsafe fn bars<'a>(pf: *mut Object) -> &'a mut Bars {
        // SAFETY: An instance of this type has the regions there.
        unsafe { &mut *abi::member::<Bars>(pf, STATE + offset_of!(State, bars)) }
    }

    unsafe extern "C" fn realize(pf: *mut Object, errp: Errp) {
        // SAFETY: QEMU calls this for an instance of this type, once.
        unsafe { realize(pf, errp) }
    }

    unsafe extern "C" fn exit(pf: *mut Object) {
        // SAFETY: QEMU calls this once for a realized instance.
        unsafe { undo(pf, 3) }
    }

    fn config_written(pf: *mut Object, model: &Model) {
        // SAFETY: The PF is realized, as there is a model.
        let count = unsafe { abi::pcie_sriov_num_vfs(pf) };
        model.enter(|device, _| device.set_num_vfs(count));
    }

    fn reset(model: &Model, _function: Function) {
        model.enter(|device, access| {
            device.set_num_vfs(0);
            device.system_reset(access);
        });
    }

    unsafe fn finish_class(class: *mut c_void) {
        // SAFETY: The table is a constant.
        unsafe {
            abi::device_class_set_props_n(class, PROPERTIES.0.as_ptr(), PROPERTIES.0.len());
        }
    }
}
