// SPDX-License-Identifier: GPL-2.0

//! Is this the QEMU whose layouts [`abi`](crate::abi) describes? Reads only what every version has at
//! the same place, in an order in which each finding makes the next read safe.
//!
//! `tests/check.rs` compiles this file into a program that plays QEMU.

use crate::abi;
use core::ffi::CStr;
use core::ffi::c_void;

/// Version of the plugin interface this was made for.
pub(crate) const PLUGIN_INTERFACE: i32 = 7;

// Where pci-device has what its properties and its saved state name.
const ADDR: usize = 208;
const MULTIFUNCTION: usize = 1340;
const ROMFILE: usize = 2336;
const SRIOV_PF: usize = 2760;
const IRQ_STATE: usize = 1337;
const VERSION_ID: usize = 2236;

/// Version of the QEMU that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) micro: i64,
    /// The packager's name of it.
    pub(crate) package: &'static CStr,
}

/// Asks QEMU for its version with the function at `query`, that of the QMP command query-version. Its answer is
/// defined by the QMP schema: two pointers, then three integers.
///
/// # Safety
///
/// `query` must be null or the address of that function.
pub(crate) unsafe fn version(query: *mut c_void) -> Option<Version> {
    if query.is_null() {
        return None;
    }
    // SAFETY: As the caller guarantees; the function returns an allocated answer, or null, which is never freed.
    unsafe {
        let query: unsafe extern "C" fn(*mut *mut c_void) -> *const c_void =
            core::mem::transmute(query);
        let answer = query(core::ptr::null_mut());
        if answer.is_null() {
            return None;
        }
        let triple: *const c_void = abi::get(answer, 0);
        let package: *const core::ffi::c_char = abi::get(answer, 8);
        if triple.is_null() {
            return None;
        }
        let (major, minor, micro) = (
            abi::get(triple, 0),
            abi::get(triple, 8),
            abi::get(triple, 16),
        );
        let package = if package.is_null() {
            c""
        } else {
            CStr::from_ptr(package)
        };
        Some(Version {
            major,
            minor,
            micro,
            package,
        })
    }
}

/// Why this QEMU is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What was looked at.
    pub(crate) what: &'static CStr,
    /// What was expected.
    pub(crate) expected: u64,
    /// What was found.
    pub(crate) found: u64,
}

fn equal(what: &'static CStr, expected: usize, found: usize) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    Err(Mismatch {
        what,
        expected: expected as u64,
        found: found as u64,
    })
}

fn class(name: &'static CStr) -> Result<*mut c_void, Mismatch> {
    // SAFETY: The function takes a name and returns a class that lives for ever, or null.
    let class = unsafe { abi::object_class_by_name(name.as_ptr()) };
    if class.is_null() {
        return Err(Mismatch {
            what: name,
            expected: 1,
            found: 0,
        });
    }
    Ok(class)
}

/// Sizes of a type's class and instance.
fn sizes(class: *mut c_void) -> (usize, usize) {
    // SAFETY: The first word of a class points to its type, whose size members have not moved in years.
    unsafe {
        let kind: *const c_void = abi::get(class, 0);
        (
            abi::get(kind, abi::TYPE_CLASS_SIZE),
            abi::get(kind, abi::TYPE_INSTANCE_SIZE),
        )
    }
}

/// The offset of a property of pci-device.
fn property_offset(pci: *mut c_void, name: &CStr) -> usize {
    // SAFETY: The class has the size that was checked, so its table of properties is where it is expected.
    unsafe {
        let table: *const c_void = abi::get(pci, abi::CLASS_PROPS);
        let count: u16 = abi::get(pci, abi::CLASS_PROPS_COUNT);
        if table.is_null() {
            return 0;
        }
        for i in 0..usize::from(count.min(64)) {
            let entry = abi::member::<c_void>(table.cast_mut(), i * abi::PROPERTY_SIZE);
            let entry_name: *const core::ffi::c_char = abi::get(entry, 0);
            if !entry_name.is_null() && CStr::from_ptr(entry_name) == name {
                return abi::get::<i64>(entry, abi::PROPERTY_OFFSET) as usize;
            }
        }
    }
    0
}

/// The offset of a field of pci-device's saved state.
fn state_offset(name: &CStr) -> usize {
    // SAFETY: The description is an exported constant; its table is read up to the known number of fields, each
    // of which has a name.
    unsafe {
        let fields: *const c_void = abi::get(&raw const abi::vmstate_pci_device, abi::VMSD_FIELDS);
        if fields.is_null() {
            return 0;
        }
        for i in 0..4 {
            let field = abi::member::<c_void>(fields.cast_mut(), i * abi::VMSD_FIELD_SIZE);
            let field_name: *const core::ffi::c_char = abi::get(field, 0);
            if !field_name.is_null() && CStr::from_ptr(field_name) == name {
                return abi::get(field, abi::VMSD_FIELD_OFFSET);
            }
        }
    }
    0
}

/// Compares. `interface` is the latest plugin interface of this QEMU.
///
/// # Errors
///
/// The first difference.
pub(crate) fn run(interface: i32) -> Result<(), Mismatch> {
    let wanted = PLUGIN_INTERFACE as usize;
    equal(c"plugin interface", wanted, interface.max(0) as usize)?;
    let pci = class(c"pci-device")?;
    let (class_size, instance_size) = sizes(pci);
    equal(c"class size of pci-device", abi::PCI_CLASS_SIZE, class_size)?;
    let what = c"instance size of pci-device";
    equal(what, abi::PCI_DEVICE_SIZE, instance_size)?;
    let (class_size, instance_size) = sizes(class(c"device")?);
    equal(c"class size of device", abi::DEVICE_CLASS_SIZE, class_size)?;
    equal(c"instance size of device", abi::DEVICE_SIZE, instance_size)?;
    let (class_size, _) = sizes(class(c"resettable")?);
    let what = c"class size of resettable";
    equal(what, abi::RESETTABLE_CLASS_SIZE, class_size)?;
    let (_, instance_size) = sizes(class(c"memory-region")?);
    let what = c"size of a memory region";
    equal(what, abi::MEMORY_REGION_SIZE, instance_size)?;
    for (what, name, expected) in [
        (c"offset of addr in pci-device", c"addr", ADDR),
        (c"offset of romfile in pci-device", c"romfile", ROMFILE),
        (
            c"offset of multifunction in pci-device",
            c"multifunction",
            MULTIFUNCTION,
        ),
        (c"offset of sriov-pf in pci-device", c"sriov-pf", SRIOV_PF),
    ] {
        equal(what, expected, property_offset(pci, name))?;
    }
    for (what, name, expected) in [
        (
            c"offset of config in pci-device",
            c"config",
            abi::PCI_CONFIG,
        ),
        (
            c"offset of irq_state in pci-device",
            c"irq_state",
            IRQ_STATE,
        ),
        (
            c"offset of version_id in pci-device",
            c"version_id",
            VERSION_ID,
        ),
    ] {
        equal(what, expected, state_offset(name))?;
    }
    let igb = class(c"igb")?;
    equal(c"class size of igb", abi::PCI_CLASS_SIZE, sizes(igb).0)?;
    // SAFETY: The class has the size that was checked.
    let ids: (u16, u16) = unsafe {
        (
            abi::get(igb, abi::CLASS_VENDOR),
            abi::get(igb, abi::CLASS_DEVICE),
        )
    };
    equal(c"vendor id of igb", 0x8086, usize::from(ids.0))?;
    equal(c"device id of igb", 0x10C9, usize::from(ids.1))
}
