// SPDX-License-Identifier: GPL-2.0

//! Leaks as the kernel's leak detector reports them (Documentation/dev-tools/kmemleak.rst of the kernel).

use std::fmt;
use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// Exists on kernels that look for leaks.
pub const FILE: &str = "/sys/kernel/debug/kmemleak";

/// How old memory has to be before its leak is reported, and a little more.
const AGE: Duration = Duration::from_secs(6);

/// A shell command that does what [`scan`] does and prints the report; nothing on a kernel without detector.
pub const COMMAND: &str = "f=/sys/kernel/debug/kmemleak; [ ! -e $f ] || \
    { sleep 6; echo scan >$f; echo scan >$f; cat $f; }";

/// Our modules, as a backtrace names them.
const MODULES: [&str; 4] = [
    "[compsc]",
    "[igbvf_compsc]",
    "[igb_compsc]",
    "[compsc_vfio_pci]",
];

/// Where the kernel puts modules. What has no name there was code of a module that is unloaded, and tests
/// unload no modules but ours.
const MODULE_SPACE: u64 = 0xffff_ffff_a000_0000;

/// Beginning of the names of our workers and programs; a kernel thread's is cut off after 15 characters.
const COMMANDS: [&str; 5] = [
    "compsc",
    "igbvf_compsc",
    "igb_compsc",
    "kworker/R-igbvf",
    "kworker/R-igb_c",
];

/// Memory that nothing points to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leak {
    /// The detector's report: size, who allocated it and where.
    pub text: String,
    /// Whether our modules have a part in it.
    pub ours: bool,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Leak {
    fn new(text: String) -> Self {
        let ours = text.lines().any(|line| is_ours(line.trim()));
        Self { text, ours }
    }
}

/// Whether a line of a report speaks of us: a frame of the backtrace, or the name of the task.
fn is_ours(line: &str) -> bool {
    if let Some(comm) = line.strip_prefix("comm \"") {
        return COMMANDS.iter().any(|name| comm.starts_with(name));
    }
    if MODULES.iter().any(|module| line.ends_with(module)) {
        return true;
    }
    // A hex dump has more than one word per line.
    line.strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .is_some_and(|address| address >= MODULE_SPACE)
}

/// Takes a report apart.
pub fn parse(report: &str) -> Vec<Leak> {
    let mut leaks: Vec<String> = Vec::new();
    for line in report.lines() {
        if line.starts_with("unreferenced ") {
            leaks.push(line.to_owned());
        } else if let Some(leak) = leaks.last_mut() {
            leak.push('\n');
            leak.push_str(line);
        }
    }
    leaks.into_iter().map(Leak::new).collect()
}

/// Has this machine's kernel look for leaks. `None` if it cannot. Takes seconds.
///
/// It looks twice: what moves from one place to another during a look is taken for lost once.
///
/// # Errors
///
/// If the detector's file cannot be used; only root may.
pub fn scan() -> io::Result<Option<Vec<Leak>>> {
    if !fs::exists(FILE)? {
        return Ok(None);
    }
    sleep(AGE);
    for _ in 0..2 {
        fs::write(FILE, "scan")?;
    }
    fs::read_to_string(FILE).map(|report| Some(parse(&report)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
unreferenced object 0xffff888106bb4d80 (size 96):
  comm \"insmod\", pid 317, jiffies 4294905284
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 0d 01 2d 00 00 00 00 00  ..........-.....
  backtrace (crc 11aa22bb):
    __kmalloc_noprof+0x1c4/0x3f0
    probe+0x12/0x90 [igbvf_compsc]
    pci_device_probe+0x9c/0x160
unreferenced object 0xffff888106bb5000 (size 64):
  comm \"swapper/0\", pid 1, jiffies 4294892300
  backtrace (crc 0):
    kmem_cache_alloc_noprof+0x1c4/0x3f0
    acpi_ns_lookup+0x12/0x90
";

    #[test]
    fn leaks_are_told_apart() {
        let leaks = parse(REPORT);
        assert_eq!(leaks.len(), 2);
        assert!(leaks[0].ours && !leaks[1].ours);
        assert!(leaks[0].text.contains("probe+0x12") && !leaks[0].text.contains("swapper"));
        assert!(parse("").is_empty());
    }

    #[test]
    fn unloaded_modules_and_workers_are_ours() {
        let unnamed = REPORT.replace("acpi_ns_lookup+0x12/0x90", "0xffffffffa0012345");
        assert!(parse(&unnamed)[1].ours);
        let elsewhere = REPORT.replace("acpi_ns_lookup+0x12/0x90", "0xffffffff81012345");
        assert!(!parse(&elsewhere)[1].ours);
        for name in ["kworker/R-igbvf", "kworker/R-igb_c"] {
            let worker = REPORT.replace("swapper/0", name);
            assert!(parse(&worker)[1].ours);
        }
    }
}
