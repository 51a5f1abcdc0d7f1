// SPDX-License-Identifier: GPL-2.0

//! The check at load time, against forged QEMUs: this program has the symbols that the check asks QEMU for.

#[allow(dead_code, reason = "the check needs a part of it")]
#[path = "../src/abi.rs"]
mod abi;
#[path = "../src/check.rs"]
mod check;

use core::ffi::CStr;
use core::ffi::c_char;
use core::ffi::c_void;
use std::sync::Mutex;
use std::sync::MutexGuard;

/// What a forged QEMU says of itself.
#[derive(Clone)]
struct Forged {
    /// Name, class size, instance size.
    types: Vec<(&'static CStr, usize, usize)>,
    properties: Vec<(&'static CStr, usize)>,
    fields: Vec<(&'static CStr, usize)>,
    igb: (u16, u16),
}

/// The QEMU that is supported.
fn supported() -> Forged {
    Forged {
        types: vec![
            (c"pci-device", 248, 2768),
            (c"device", 184, 152),
            (c"resettable", 144, 0),
            (c"memory-region", 96, 272),
            (c"igb", 248, 147_152),
        ],
        properties: vec![
            (c"addr", 208),
            (c"romfile", 2336),
            (c"multifunction", 1340),
            (c"failover_pair_id", 2744),
            (c"sriov-pf", 2760),
        ],
        // One for conventional devices, one for Express.
        fields: vec![
            (c"version_id", 2236),
            (c"config", 168),
            (c"config", 168),
            (c"irq_state", 1337),
        ],
        igb: (0x8086, 0x10C9),
    }
}

/// Memory of the classes, by name, as words; addresses of parts of it are in it. It lives for ever.
static CLASSES: Mutex<Vec<(&'static CStr, usize)>> = Mutex::new(Vec::new());
/// One QEMU runs at a time.
static ONE: Mutex<()> = Mutex::new(());

#[unsafe(no_mangle)]
static mut vmstate_pci_device: [usize; 14] = [0; 14];

#[unsafe(no_mangle)]
unsafe extern "C" fn object_class_by_name(name: *const c_char) -> *mut c_void {
    // SAFETY: The check passes a name.
    let name = unsafe { CStr::from_ptr(name) };
    let classes = CLASSES.lock().unwrap();
    let found = classes.iter().find(|(known, _)| *known == name);
    found.map_or(core::ptr::null_mut(), |(_, at)| *at as *mut c_void)
}

fn words(count: usize) -> &'static mut [usize] {
    vec![0; count].leak()
}

/// A table of entries of `size` bytes that have a name at 0 and an offset at `at`.
fn table(entries: &[(&'static CStr, usize)], size: usize, at: usize) -> usize {
    let memory = words((entries.len() + 1) * size / 8);
    for (i, (name, offset)) in entries.iter().enumerate() {
        memory[i * size / 8] = name.as_ptr() as usize;
        memory[(i * size + at) / 8] = *offset;
    }
    memory.as_ptr() as usize
}

impl Forged {
    /// Runs the check in this QEMU.
    fn check(&self, interface: i32) -> Result<(), (String, u64)> {
        let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(|e| e.into_inner());
        let mut classes = Vec::new();
        for (name, class_size, instance_size) in &self.types {
            let kind = words(16);
            kind[1] = *class_size;
            kind[2] = *instance_size;
            let class = words(64);
            class[0] = kind.as_ptr() as usize;
            if *name == c"pci-device" {
                class[120 / 8] = table(&self.properties, 72, 16);
                class[128 / 8] = self.properties.len();
            }
            class[216 / 8] = usize::from(self.igb.0) | usize::from(self.igb.1) << 16;
            classes.push((*name, class.as_ptr() as usize));
        }
        *CLASSES.lock().unwrap() = classes;
        // The four fields that the check looks at are always there in a QEMU.
        let mut fields = self.fields.clone();
        fields.resize(4, (c"else", 0));
        // SAFETY: One QEMU at a time is forged and checked.
        unsafe { vmstate_pci_device[96 / 8] = table(&fields, 96, 8) };
        check::run(interface).map_err(|m| (m.what.to_str().unwrap().to_string(), m.found))
    }
}

#[test]
fn the_supported_qemu_passes() {
    assert_eq!(supported().check(7), Ok(()));
}

#[test]
fn the_first_difference_is_named() {
    let refused = |change: &dyn Fn(&mut Forged), what: &str, found: u64| {
        let mut qemu = supported();
        change(&mut qemu);
        assert_eq!(qemu.check(7), Err((what.to_string(), found)));
    };
    let sizes = [
        (0, "class size of pci-device", "instance size of pci-device"),
        (1, "class size of device", "instance size of device"),
        (2, "class size of resettable", ""),
        (3, "", "size of a memory region"),
        (4, "class size of igb", ""),
    ];
    for (i, class, instance) in sizes {
        if !class.is_empty() {
            refused(&|q| q.types[i].1 = 1000, class, 1000);
        }
        if !instance.is_empty() {
            refused(&|q| q.types[i].2 = 3000, instance, 3000);
        }
        let kind = supported().types[i];
        let name = kind.0.to_str().unwrap();
        refused(&|q| q.types.retain(|t| t.0 != kind.0), name, 0);
    }
    for (i, name) in [
        (0, "addr"),
        (1, "romfile"),
        (2, "multifunction"),
        (4, "sriov-pf"),
    ] {
        let what = format!("offset of {name} in pci-device");
        refused(
            &|q| q.properties[i].1 += 16,
            &what,
            supported().properties[i].1 as u64 + 16,
        );
        refused(
            &|q| q.properties.retain(|p| p.0.to_str() != Ok(name)),
            &what,
            0,
        );
    }
    for (i, name) in [(0, "version_id"), (1, "config"), (3, "irq_state")] {
        let what = format!("offset of {name} in pci-device");
        refused(
            &|q| q.fields[i].1 -= 8,
            &what,
            supported().fields[i].1 as u64 - 8,
        );
        refused(&|q| q.fields.retain(|f| f.0.to_str() != Ok(name)), &what, 0);
    }
    refused(&|q| q.igb.0 = 0x1AF4, "vendor id of igb", 0x1AF4);
    refused(&|q| q.igb.1 = 0x1521, "device id of igb", 0x1521);
    // QEMU 10.2.2, as far as it is known.
    refused(
        &|q| q.types[0].2 = 2752,
        "instance size of pci-device",
        2752,
    );
}

#[test]
fn another_plugin_interface_is_refused_before_anything_is_read() {
    let empty = Forged {
        types: Vec::new(),
        properties: Vec::new(),
        fields: Vec::new(),
        igb: (0, 0),
    };
    assert_eq!(empty.check(8), Err(("plugin interface".to_string(), 8)));
    assert_eq!(empty.check(7), Err(("pci-device".to_string(), 0)));
}

#[test]
fn tables_may_be_missing() {
    let mut qemu = supported();
    qemu.properties.clear();
    let what = "offset of addr in pci-device".to_string();
    assert_eq!(qemu.check(7), Err((what, 0)));
}

static TRIPLE: [i64; 3] = [12, 3, 4];

extern "C" fn query_version(_errp: *mut *mut c_void) -> *const c_void {
    let package = c"(Debian 1:12.3.4)".as_ptr() as usize;
    vec![TRIPLE.as_ptr() as usize, package]
        .leak()
        .as_ptr()
        .cast()
}

extern "C" fn no_answer(_errp: *mut *mut c_void) -> *const c_void {
    core::ptr::null()
}

#[test]
fn the_version_is_that_of_the_running_qemu() {
    type Query = extern "C" fn(*mut *mut c_void) -> *const c_void;
    // SAFETY: Null, or a function of that type.
    let version = |query: Option<Query>| unsafe {
        check::version(query.map_or(core::ptr::null_mut(), |q| q as *mut c_void))
    };
    let expected = check::Version {
        major: 12,
        minor: 3,
        micro: 4,
        package: c"(Debian 1:12.3.4)",
    };
    assert_eq!(version(Some(query_version)), Some(expected));
    assert_eq!(version(Some(no_answer)), None);
    assert_eq!(version(None), None);
}
