// SPDX-License-Identifier: GPL-2.0

//! Device type `82599`: the physical function.

use crate::abi;
use crate::abi::Errp;
use crate::abi::Object;
use crate::model::Model;
use crate::vf;
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

/// Name of the type.
pub(crate) const NAME: &core::ffi::CStr = c"82599";

const MSIX_BAR: c_int = 4;
const MSIX_SIZE: u64 = 0x4000;
const MSIX_PBA: u32 = 0x2000;
const VF_FIRST: u16 = 0x80;
const VF_STRIDE: u16 = 2;

/// Room for a QEMU memory region, which is 272 bytes.
#[repr(C, align(16))]
pub(crate) struct Region([u8; 512]);

impl Region {
    pub(crate) fn ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }
}

/// What follows the parent's instance. QEMU allocates it zeroed; every member is valid when zero.
#[repr(C, align(16))]
struct State {
    mmio: Region,
    msix: Region,
    timer: [u64; 8],
    conf: abi::NicConf,
    strict: bool,
    trace: bool,
    violations: u64,
    model: *mut Model,
}

const STATE: usize = abi::PCI_DEVICE_SIZE;
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

unsafe extern "C" fn mmio_read(opaque: *mut c_void, address: u64, _size: u32) -> u64 {
    // SAFETY: The region was made with the PF as its opaque.
    let Some(model) = (unsafe { model(opaque) }) else {
        return 0;
    };
    let value = model.enter(|device, access| device.read(access, Function::Pf, address as u32));
    if value.is_some() {
        model.flush();
    }
    u64::from(value.unwrap_or(u32::MAX))
}

unsafe extern "C" fn mmio_write(opaque: *mut c_void, address: u64, value: u64, _size: u32) {
    // SAFETY: As in mmio_read.
    let Some(model) = (unsafe { model(opaque) }) else {
        return;
    };
    if model
        .enter(|device, access| device.write(access, Function::Pf, address as u32, value as u32))
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

/// Sets an error for a step of realize that gave none.
unsafe fn fail(errp: Errp, what: &core::ffi::CStr) {
    // SAFETY: The arguments fit the format.
    unsafe {
        abi::error_setg_internal(
            errp,
            c"pf.rs".as_ptr(),
            0,
            c"realize".as_ptr(),
            c"82599: %s".as_ptr(),
            what.as_ptr(),
        );
    }
}

unsafe extern "C" fn realize(pf: *mut Object, errp: Errp) {
    // SAFETY: QEMU calls this for an instance of this type, once. Every function is called with the arguments
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
        };
        state.model = Box::into_raw(Box::new(Model::new(
            settings,
            pf,
            timer_memory,
            &raw mut state.violations,
        )));

        abi::memory_region_init_io(
            state.mmio.ptr(),
            pf,
            &MMIO,
            pf,
            c"82599-mmio".as_ptr(),
            u64::from(PF_SPACE),
        );
        abi::pci_register_bar(pf, 0, abi::BAR_MEM64_PREF, state.mmio.ptr());
        abi::memory_region_init(state.msix.ptr(), pf, c"82599-msix".as_ptr(), MSIX_SIZE);
        abi::pci_register_bar(pf, MSIX_BAR, abi::BAR_MEM64_PREF, state.msix.ptr());

        if abi::pcie_endpoint_cap_init(pf, 0xA0) < 0 {
            fail(errp, c"no PCI Express capability");
            return undo(pf, 0);
        }
        // Link capabilities and status: eight lanes of 5 GT/s (datasheet 9.3.11).
        for offset in [0xA0 + 0x0C, 0xA0 + 0x12] {
            *config.add(offset) = 0x82;
            *config.add(offset + 1) &= !0x03;
        }
        let msix = state.msix.ptr();
        let bar = MSIX_BAR as u8;
        if abi::msix_init(
            pf,
            PF_VECTORS as u16,
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
            return undo(pf, 1);
        }
        for vector in 0..PF_VECTORS as u32 {
            abi::msix_vector_use(pf, vector);
        }
        if abi::msi_init(pf, 0x50, 1, true, true, errp) < 0 {
            return undo(pf, 2);
        }
        if abi::pci_pm_init(pf, 0x40, errp) < 0 {
            return undo(pf, 3);
        }
        // PMCSR: power state and PME enable are writable, PME status is cleared by writing 1.
        let wmask: *mut u8 = abi::get(pf, abi::PCI_WMASK);
        let w1cmask: *mut u8 = abi::get(pf, abi::PCI_W1CMASK);
        *wmask.add(0x44) |= 0x03;
        *wmask.add(0x45) |= 0x01;
        *w1cmask.add(0x45) |= 0x80;
        abi::pcie_cap_flr_init(pf);
        if abi::pcie_aer_init(pf, 1, 0x100, 0x40, errp) < 0 {
            return undo(pf, 3);
        }
        let mac = state.conf.mac;
        let serial = [mac[5], mac[4], mac[3], 0xFF, 0xFF, mac[2], mac[1], mac[0]];
        abi::pcie_dev_ser_num_init(pf, 0x140, u64::from_le_bytes(serial));
        abi::pcie_ari_init(pf, 0x150);
        let total = POOLS as u16;
        let (vf_name, vf_id) = (vf::NAME.as_ptr(), vf::DEVICE_ID);
        if !abi::pcie_sriov_pf_init(
            pf, 0x160, vf_name, vf_id, total, total, VF_FIRST, VF_STRIDE, errp,
        ) {
            return undo(pf, 4);
        }
        abi::pcie_sriov_pf_init_vf_bar(pf, 0, abi::BAR_MEM64_PREF, vf::MMIO_SIZE);
        abi::pcie_sriov_pf_init_vf_bar(pf, vf::MSIX_BAR, abi::BAR_MEM64_PREF, vf::MSIX_SIZE);

        let guard = abi::member::<c_void>(pf, abi::DEVICE_REENTRANCY_GUARD);
        let id: *const c_char = abi::get(pf, abi::DEVICE_ID);
        let nic = abi::qemu_new_nic(&NET, &raw mut state.conf, NAME.as_ptr(), id, guard, pf);
        let nc = abi::qemu_get_queue(nic);
        abi::qemu_format_nic_info_str(nc, state.conf.mac.as_mut_ptr());
        let down: c_int = abi::get(nc, abi::NC_LINK_DOWN);
        let bh = abi::qemu_bh_new_full(bottom_half, pf, NAME.as_ptr(), guard);
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
        if steps > 4 {
            if let Some(model) = state.model.as_ref() {
                abi::qemu_bh_delete(model.qemu.bh.replace(ptr::null_mut()));
                abi::qemu_del_nic(model.qemu.nic.replace(ptr::null_mut()));
            }
            abi::pcie_sriov_pf_exit(pf);
        }
        if steps > 3 {
            abi::pcie_aer_exit(pf);
        }
        if steps > 2 {
            abi::msi_uninit(pf);
        }
        if steps > 1 {
            abi::msix_unuse_all_vectors(pf);
            let msix = state.msix.ptr();
            abi::msix_uninit(pf, msix, msix);
        }
        if steps > 0 {
            abi::pcie_cap_exit(pf);
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

unsafe extern "C" fn exit(pf: *mut Object) {
    // SAFETY: QEMU calls this once for a realized instance.
    unsafe { undo(pf, 5) }
}

unsafe extern "C" fn config_write(pf: *mut Object, address: u32, value: u32, length: c_int) {
    // SAFETY: QEMU calls this for a realized instance, with an access inside of the configuration space.
    unsafe {
        abi::pci_default_write_config(pf, address, value, length);
        let Some(model) = model(pf) else { return };
        let count = abi::pcie_sriov_num_vfs(pf);
        model.enter(|device, _| device.set_num_vfs(count));
        abi::pcie_cap_flr_write_config(pf, address, value, length);
        vf::after_config_write(model, address, value);
    }
}

unsafe extern "C" fn reset_hold(pf: *mut Object, _kind: c_int) {
    // SAFETY: QEMU calls this for an instance of this type.
    if let Some(model) = unsafe { model(pf) } {
        model.enter(|device, access| {
            device.set_num_vfs(0);
            device.system_reset(access);
        });
    }
}

static VMSTATE: Shared<abi::VmState> = Shared(abi::VmState {
    name: NAME.as_ptr(),
    unmigratable: true,
    rest: [0; 12],
});

/// A constant table that QEMU reads.
pub(crate) struct Shared<T>(pub(crate) T);

// SAFETY: Nobody writes the tables.
unsafe impl<T> Sync for Shared<T> {}

const fn property(
    name: &'static core::ffi::CStr,
    info: *const c_void,
    offset: usize,
) -> abi::Property {
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

static PROPERTIES: Shared<[abi::Property; 4]> = Shared([
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
]);

/// What the classes of PF and VF have in common.
pub(crate) struct Class {
    pub(crate) realize: unsafe extern "C" fn(*mut Object, Errp),
    pub(crate) exit: unsafe extern "C" fn(*mut Object),
    pub(crate) config_write: unsafe extern "C" fn(*mut Object, u32, u32, c_int),
    pub(crate) reset_hold: unsafe extern "C" fn(*mut Object, c_int),
    pub(crate) device_id: u16,
    pub(crate) description: &'static core::ffi::CStr,
    pub(crate) vmstate: &'static Shared<abi::VmState>,
}

impl Class {
    /// Fills a class structure.
    ///
    /// # Safety
    ///
    /// `class` must be a class derived from pci-device that is being initialized.
    pub(crate) unsafe fn fill(&self, class: *mut c_void) {
        // SAFETY: The layouts were checked when the plugin was loaded; an interface's class is found by a cast.
        unsafe {
            abi::set(class, abi::CLASS_REALIZE, self.realize);
            abi::set(class, abi::CLASS_EXIT, self.exit);
            abi::set(class, abi::CLASS_CONFIG_WRITE, self.config_write);
            abi::set(class, abi::CLASS_VENDOR, 0x8086u16);
            abi::set(class, abi::CLASS_DEVICE, self.device_id);
            abi::set(class, abi::CLASS_REVISION, 1u8);
            abi::set(class, abi::CLASS_CLASS, 0x0200u16);
            abi::set(class, abi::CLASS_SUBSYSTEM_VENDOR, 0x8086u16);
            abi::set(class, abi::CLASS_SUBSYSTEM, 0x0003u16);
            abi::set(class, abi::CLASS_DESC, self.description.as_ptr());
            let categories: u64 = abi::get(class, abi::CLASS_CATEGORIES);
            abi::set(
                class,
                abi::CLASS_CATEGORIES,
                categories | abi::CATEGORY_NETWORK,
            );
            abi::set(class, abi::CLASS_VMSD, &raw const self.vmstate.0);
            let name = c"resettable".as_ptr();
            let (file, function) = (c"pf.rs".as_ptr(), c"fill".as_ptr());
            let reset = abi::object_class_dynamic_cast_assert(class, name, file, 0, function);
            abi::set(reset, abi::CLASS_RESET_HOLD, self.reset_hold);
        }
    }
}

static CLASS: Class = Class {
    realize,
    exit,
    config_write,
    reset_hold,
    device_id: 0x10FB,
    description: c"Intel 82599 10 Gigabit Ethernet controller",
    vmstate: &VMSTATE,
};

unsafe extern "C" fn class_init(class: *mut c_void, _data: *const c_void) {
    // SAFETY: QEMU calls this for the class of this type.
    unsafe {
        CLASS.fill(class);
        abi::device_class_set_props_n(class, PROPERTIES.0.as_ptr(), PROPERTIES.0.len());
    }
}

/// Registers a type derived from pci-device that is an Express endpoint.
pub(crate) fn register_type(
    name: &'static core::ffi::CStr,
    state_size: usize,
    class_init: unsafe extern "C" fn(*mut c_void, *const c_void),
) {
    let interfaces = [
        abi::InterfaceInfo {
            name: c"pci-express-device".as_ptr(),
        },
        abi::InterfaceInfo { name: ptr::null() },
    ];
    let info = abi::TypeInfo {
        name: name.as_ptr(),
        parent: c"pci-device".as_ptr(),
        instance_size: abi::PCI_DEVICE_SIZE + state_size,
        instance_align: 16,
        instance_init: None,
        instance_post_init: None,
        instance_finalize: None,
        is_abstract: false,
        class_size: 0,
        class_init: Some(class_init),
        class_base_init: None,
        class_data: ptr::null(),
        interfaces: interfaces.as_ptr(),
    };
    // SAFETY: QEMU copies the description.
    unsafe { abi::type_register_static(&info) };
}

/// Registers the type.
pub(crate) fn register() {
    register_type(NAME, size_of::<State>(), class_init);
}
