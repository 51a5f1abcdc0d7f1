// SPDX-License-Identifier: GPL-2.0

//! Binary interface of QEMU 11.1 (x86-64 Linux), as found in the running program: exported functions and
//! the offsets of the few members that are used. [`check`](crate::check) compares what can be compared at load time.

use core::ffi::c_char;
use core::ffi::c_int;
use core::ffi::c_void;

/// A QEMU object, of whatever type.
pub(crate) type Object = c_void;
/// Address of an error pointer.
pub(crate) type Errp = *mut *mut c_void;

/// Size of the instance of pci-device.
pub(crate) const PCI_DEVICE_SIZE: usize = 2768;
/// Size of the class of pci-device.
pub(crate) const PCI_CLASS_SIZE: usize = 248;
/// Size of an instance of device, of its class, of the class of resettable, of a memory region.
pub(crate) const DEVICE_SIZE: usize = 152;
pub(crate) const DEVICE_CLASS_SIZE: usize = 184;
pub(crate) const RESETTABLE_CLASS_SIZE: usize = 144;
pub(crate) const MEMORY_REGION_SIZE: usize = 272;

// TypeImpl, which the first word of a class points to.
pub(crate) const TYPE_CLASS_SIZE: usize = 8;
pub(crate) const TYPE_INSTANCE_SIZE: usize = 16;

// DeviceClass.
pub(crate) const CLASS_CATEGORIES: usize = 96;
pub(crate) const CLASS_DESC: usize = 112;
pub(crate) const CLASS_PROPS: usize = 120;
pub(crate) const CLASS_PROPS_COUNT: usize = 128;
pub(crate) const CLASS_USER_CREATABLE: usize = 130;
pub(crate) const CLASS_VMSD: usize = 168;
/// Bit of network devices in the categories.
pub(crate) const CATEGORY_NETWORK: u64 = 1 << 3;

// PCIDeviceClass.
pub(crate) const CLASS_REALIZE: usize = 184;
pub(crate) const CLASS_EXIT: usize = 192;
pub(crate) const CLASS_CONFIG_WRITE: usize = 208;
pub(crate) const CLASS_VENDOR: usize = 216;
pub(crate) const CLASS_DEVICE: usize = 218;
pub(crate) const CLASS_REVISION: usize = 220;
pub(crate) const CLASS_CLASS: usize = 222;
pub(crate) const CLASS_SUBSYSTEM_VENDOR: usize = 224;
pub(crate) const CLASS_SUBSYSTEM: usize = 226;

/// ResettableClass: the hold phase.
pub(crate) const CLASS_RESET_HOLD: usize = 112;

// DeviceState.
pub(crate) const DEVICE_ID: usize = 40;
pub(crate) const DEVICE_REENTRANCY_GUARD: usize = 144;

// PCIDevice.
pub(crate) const PCI_CONFIG: usize = 168;
pub(crate) const PCI_WMASK: usize = 184;
pub(crate) const PCI_W1CMASK: usize = 192;
pub(crate) const PCI_BUS_MASTER_AS: usize = 576;

// NetClientState.
pub(crate) const NC_LINK_DOWN: usize = 8;

// Property.
pub(crate) const PROPERTY_OFFSET: usize = 16;
pub(crate) const PROPERTY_SIZE: usize = 72;

// VMStateDescription and its fields.
pub(crate) const VMSD_FIELDS: usize = 96;
pub(crate) const VMSD_FIELD_OFFSET: usize = 8;
pub(crate) const VMSD_FIELD_SIZE: usize = 96;

/// MemTxAttrs "unspecified", as QEMU's own devices pass it.
pub(crate) const MEMTXATTRS_UNSPECIFIED: u64 = 1 << 32;
/// QEMU_CLOCK_VIRTUAL.
pub(crate) const CLOCK_VIRTUAL: c_int = 1;
/// Mask of guest errors in the log level.
pub(crate) const LOG_GUEST_ERROR: c_int = 1 << 11;
/// Memory BAR, 64 bits, prefetchable.
pub(crate) const BAR_MEM64_PREF: u8 = 4 | 8;

/// TypeInfo.
#[repr(C)]
pub(crate) struct TypeInfo {
    pub(crate) name: *const c_char,
    pub(crate) parent: *const c_char,
    pub(crate) instance_size: usize,
    pub(crate) instance_align: usize,
    pub(crate) instance_init: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) instance_post_init: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) instance_finalize: Option<unsafe extern "C" fn(*mut Object)>,
    pub(crate) is_abstract: bool,
    pub(crate) class_size: usize,
    pub(crate) class_init: Option<unsafe extern "C" fn(*mut c_void, *const c_void)>,
    pub(crate) class_base_init: Option<unsafe extern "C" fn(*mut c_void, *const c_void)>,
    pub(crate) class_data: *const c_void,
    pub(crate) interfaces: *const InterfaceInfo,
}

/// InterfaceInfo; an array ends with a null name.
#[repr(C)]
pub(crate) struct InterfaceInfo {
    pub(crate) name: *const c_char,
}

/// MemoryRegionOps.
#[repr(C)]
pub(crate) struct MemoryRegionOps {
    pub(crate) read: unsafe extern "C" fn(*mut c_void, u64, u32) -> u64,
    pub(crate) write: unsafe extern "C" fn(*mut c_void, u64, u64, u32),
    pub(crate) with_attrs: [usize; 2],
    /// 2: little endian.
    pub(crate) endianness: c_int,
    /// The limits are a structure of their own.
    pub(crate) gap: u32,
    pub(crate) valid_min: u32,
    pub(crate) valid_max: u32,
    pub(crate) valid_unaligned: bool,
    pub(crate) valid_accepts: usize,
    pub(crate) impl_min: u32,
    pub(crate) impl_max: u32,
    pub(crate) impl_unaligned: bool,
}

/// NetClientInfo, with room for members that this program does not know.
#[repr(C)]
pub(crate) struct NetClientInfo {
    /// 1: a network card.
    pub(crate) kind: c_int,
    pub(crate) size: usize,
    pub(crate) receive: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> isize,
    pub(crate) receive_iov: usize,
    pub(crate) can_receive: unsafe extern "C" fn(*mut c_void) -> bool,
    pub(crate) start_load_stop_cleanup: [usize; 4],
    pub(crate) link_status_changed: unsafe extern "C" fn(*mut c_void),
    pub(crate) rest: [usize; 24],
}

/// NICConf.
#[repr(C)]
pub(crate) struct NicConf {
    pub(crate) mac: [u8; 6],
    pub(crate) peers: [*mut c_void; 1024],
    pub(crate) queues: i32,
    /// Peers and queues are a structure of their own.
    pub(crate) gap: u32,
    pub(crate) bootindex: i32,
}

/// Property.
#[repr(C)]
pub(crate) struct Property {
    pub(crate) name: *const c_char,
    pub(crate) info: *const c_void,
    pub(crate) offset: i64,
    pub(crate) link_type: *const c_char,
    pub(crate) bitmask: u64,
    pub(crate) default: u64,
    pub(crate) array: [u64; 2],
    pub(crate) bitnr: u8,
    pub(crate) set_default: bool,
}

/// VMStateDescription.
#[repr(C)]
pub(crate) struct VmState {
    pub(crate) name: *const c_char,
    pub(crate) unmigratable: bool,
    pub(crate) rest: [usize; 12],
}

/// qemu_info_t.
#[repr(C)]
pub(crate) struct PluginInfo {
    pub(crate) target: *const c_char,
    pub(crate) version_min: c_int,
    pub(crate) version_cur: c_int,
    pub(crate) system_emulation: bool,
}

const _: () = {
    assert!(size_of::<TypeInfo>() == 104);
    assert!(size_of::<MemoryRegionOps>() == 80);
    assert!(size_of::<NicConf>() == 8216);
    assert!(size_of::<Property>() == PROPERTY_SIZE);
    assert!(size_of::<VmState>() == 112);
    assert!(core::mem::offset_of!(NetClientInfo, link_status_changed) == 72);
};

unsafe extern "C" {
    pub(crate) static qdev_prop_macaddr: c_void;
    pub(crate) static qdev_prop_netdev: c_void;
    pub(crate) static qdev_prop_bool: c_void;
    pub(crate) static qdev_prop_uint32: c_void;
    pub(crate) static vmstate_pci_device: c_void;
    pub(crate) static qemu_loglevel: c_int;

    /// Of the C library; a null handle stands for all of the program.
    pub(crate) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub(crate) fn type_register_static(info: *const TypeInfo) -> *mut c_void;
    pub(crate) fn object_class_by_name(name: *const c_char) -> *mut c_void;
    pub(crate) fn object_class_dynamic_cast_assert(
        class: *mut c_void,
        name: *const c_char,
        file: *const c_char,
        line: c_int,
        function: *const c_char,
    ) -> *mut c_void;
    pub(crate) fn object_property_add_uint64_ptr(
        object: *mut Object,
        name: *const c_char,
        value: *const u64,
        flags: c_int,
    ) -> *mut c_void;
    pub(crate) fn device_class_set_props_n(class: *mut c_void, props: *const Property, n: usize);
    pub(crate) fn error_setg_internal(
        errp: Errp,
        file: *const c_char,
        line: c_int,
        function: *const c_char,
        format: *const c_char,
        ...
    );
    pub(crate) fn error_report(format: *const c_char, ...);
    pub(crate) fn info_report(format: *const c_char, ...);
    pub(crate) fn qemu_log(format: *const c_char, ...);

    pub(crate) fn memory_region_init_io(
        region: *mut c_void,
        owner: *mut Object,
        ops: *const MemoryRegionOps,
        opaque: *mut c_void,
        name: *const c_char,
        size: u64,
    );
    pub(crate) fn memory_region_init(
        region: *mut c_void,
        owner: *mut Object,
        name: *const c_char,
        size: u64,
    );
    pub(crate) fn pci_register_bar(device: *mut Object, n: c_int, kind: u8, region: *mut c_void);
    pub(crate) fn pcie_endpoint_cap_init(device: *mut Object, offset: u8) -> c_int;
    pub(crate) fn pcie_cap_exit(device: *mut Object);
    pub(crate) fn pcie_cap_flr_init(device: *mut Object);
    pub(crate) fn pcie_cap_flr_write_config(
        device: *mut Object,
        address: u32,
        value: u32,
        length: c_int,
    );
    pub(crate) fn pcie_aer_init(
        device: *mut Object,
        version: u8,
        offset: u16,
        size: u16,
        errp: Errp,
    ) -> c_int;
    pub(crate) fn pcie_aer_exit(device: *mut Object);
    pub(crate) fn pcie_ari_init(device: *mut Object, offset: u16);
    pub(crate) fn pcie_dev_ser_num_init(device: *mut Object, offset: u16, number: u64);
    pub(crate) fn pci_pm_init(device: *mut Object, offset: u8, errp: Errp) -> c_int;
    pub(crate) fn pcie_sriov_pf_init(
        device: *mut Object,
        offset: u16,
        name: *const c_char,
        id: u16,
        initial: u16,
        total: u16,
        first: u16,
        stride: u16,
        errp: Errp,
    ) -> bool;
    pub(crate) fn pcie_sriov_pf_init_vf_bar(device: *mut Object, n: c_int, kind: u8, size: u64);
    pub(crate) fn pcie_sriov_pf_exit(device: *mut Object);
    pub(crate) fn pcie_sriov_get_pf(vf: *mut Object) -> *mut Object;
    pub(crate) fn pcie_sriov_vf_number(vf: *mut Object) -> u16;
    pub(crate) fn pcie_sriov_num_vfs(pf: *mut Object) -> u16;
    pub(crate) fn msix_init(
        device: *mut Object,
        vectors: u16,
        table: *mut c_void,
        table_bar: u8,
        table_offset: u32,
        pba: *mut c_void,
        pba_bar: u8,
        pba_offset: u32,
        capability: u8,
        errp: Errp,
    ) -> c_int;
    pub(crate) fn msix_uninit(device: *mut Object, table: *mut c_void, pba: *mut c_void);
    pub(crate) fn msix_vector_use(device: *mut Object, vector: u32);
    pub(crate) fn msix_unuse_all_vectors(device: *mut Object);
    pub(crate) fn msix_notify(device: *mut Object, vector: u32);
    pub(crate) fn msix_enabled(device: *mut Object) -> c_int;
    pub(crate) fn msi_init(
        device: *mut Object,
        offset: u8,
        vectors: u32,
        address64: bool,
        mask: bool,
        errp: Errp,
    ) -> c_int;
    pub(crate) fn msi_uninit(device: *mut Object);
    pub(crate) fn msi_enabled(device: *mut Object) -> bool;
    pub(crate) fn msi_notify(device: *mut Object, vector: u32);
    pub(crate) fn pci_set_irq(device: *mut Object, level: c_int);
    pub(crate) fn pci_default_write_config(
        device: *mut Object,
        address: u32,
        value: u32,
        length: c_int,
    );

    pub(crate) fn address_space_rw(
        space: *mut c_void,
        address: u64,
        attributes: u64,
        buffer: *mut c_void,
        length: u64,
        write: bool,
    ) -> u32;

    pub(crate) fn qemu_new_nic(
        info: *const NetClientInfo,
        conf: *mut NicConf,
        model: *const c_char,
        name: *const c_char,
        guard: *mut c_void,
        opaque: *mut c_void,
    ) -> *mut c_void;
    pub(crate) fn qemu_del_nic(nic: *mut c_void);
    pub(crate) fn qemu_get_queue(nic: *mut c_void) -> *mut c_void;
    pub(crate) fn qemu_get_nic_opaque(nc: *mut c_void) -> *mut c_void;
    pub(crate) fn qemu_send_packet(nc: *mut c_void, data: *const u8, length: c_int) -> isize;
    pub(crate) fn qemu_flush_queued_packets(nc: *mut c_void);
    pub(crate) fn qemu_macaddr_default_if_unset(mac: *mut u8);
    pub(crate) fn qemu_format_nic_info_str(nc: *mut c_void, mac: *mut u8);

    pub(crate) fn timer_init_full(
        timer: *mut c_void,
        group: *mut c_void,
        clock: c_int,
        scale: c_int,
        attributes: c_int,
        callback: unsafe extern "C" fn(*mut c_void),
        opaque: *mut c_void,
    );
    pub(crate) fn timer_mod_ns(timer: *mut c_void, time: i64);
    pub(crate) fn timer_del(timer: *mut c_void);
    pub(crate) fn qemu_clock_get_ns(clock: c_int) -> i64;
    pub(crate) fn qemu_bh_new_full(
        callback: unsafe extern "C" fn(*mut c_void),
        opaque: *mut c_void,
        name: *const c_char,
        guard: *mut c_void,
    ) -> *mut c_void;
    pub(crate) fn qemu_bh_schedule(bh: *mut c_void);
    pub(crate) fn qemu_bh_delete(bh: *mut c_void);
}

/// Pointer to a member `offset` bytes into an object.
///
/// # Safety
///
/// The object must have at least `offset` bytes and a member of type `T` there.
pub(crate) unsafe fn member<T>(object: *mut c_void, offset: usize) -> *mut T {
    // SAFETY: The caller guarantees that the result is inside of the object.
    unsafe { object.cast::<u8>().add(offset).cast::<T>() }
}

/// Writes a member of an object.
///
/// # Safety
///
/// As for [`member`], and the object is not shared while this runs.
pub(crate) unsafe fn set<T>(object: *mut c_void, offset: usize, value: T) {
    // SAFETY: As the caller guarantees; members may lie at addresses that T's alignment does not allow.
    unsafe { member::<T>(object, offset).write_unaligned(value) }
}

/// Reads a member of an object.
///
/// # Safety
///
/// As for [`member`].
pub(crate) unsafe fn get<T: Copy>(object: *const c_void, offset: usize) -> T {
    // SAFETY: As the caller guarantees.
    unsafe { member::<T>(object.cast_mut(), offset).read_unaligned() }
}
