// SPDX-License-Identifier: GPL-2.0

//! Is this the QEMU whose layouts [`abi`](crate::abi) describes? Reads only what every version has at
//! the same place, in an order in which each finding makes the next read safe.

use crate::abi;
use core::ffi::CStr;
use core::ffi::c_void;

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
        for i in 0..3 {
            let field = abi::member::<c_void>(fields.cast_mut(), i * abi::VMSD_FIELD_SIZE);
            let field_name: *const core::ffi::c_char = abi::get(field, 0);
            if !field_name.is_null() && CStr::from_ptr(field_name) == name {
                return abi::get(field, abi::VMSD_FIELD_OFFSET);
            }
        }
    }
    0
}

/// Compares.
///
/// # Errors
///
/// The first difference.
pub(crate) fn run() -> Result<(), Mismatch> {
    let pci = class(c"pci-device")?;
    let (class_size, instance_size) = sizes(pci);
    equal(c"class size of pci-device", abi::PCI_CLASS_SIZE, class_size)?;
    equal(
        c"instance size of pci-device",
        abi::PCI_DEVICE_SIZE,
        instance_size,
    )?;
    let (class_size, instance_size) = sizes(class(c"device")?);
    equal(c"class size of device", abi::DEVICE_CLASS_SIZE, class_size)?;
    equal(c"instance size of device", abi::DEVICE_SIZE, instance_size)?;
    equal(
        c"class size of resettable",
        abi::RESETTABLE_CLASS_SIZE,
        sizes(class(c"resettable")?).0,
    )?;
    equal(
        c"size of a memory region",
        abi::MEMORY_REGION_SIZE,
        sizes(class(c"memory-region")?).1,
    )?;
    equal(
        c"offset of addr in pci-device",
        208,
        property_offset(pci, c"addr"),
    )?;
    equal(
        c"offset of romfile in pci-device",
        2336,
        property_offset(pci, c"romfile"),
    )?;
    equal(
        c"offset of multifunction in pci-device",
        1340,
        property_offset(pci, c"multifunction"),
    )?;
    equal(
        c"offset of sriov-pf in pci-device",
        2760,
        property_offset(pci, c"sriov-pf"),
    )?;
    equal(
        c"offset of config in pci-device",
        abi::PCI_CONFIG,
        state_offset(c"config"),
    )?;
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
