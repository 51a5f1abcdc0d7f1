// SPDX-License-Identifier: GPL-2.0

//! What the driver reports: in debugfs as `/sys/kernel/debug/compsc_vfio_pci/<device>/status`, one `name value` pair
//! per line (Documentation/ABI/testing/debugfs-driver-compsc-vfio-pci), and what an administrator may look at as
//! attributes of the device (Documentation/ABI/testing/sysfs-bus-pci-devices-compsc).

use crate::device;
use compsc::sysfs::{
    Attribute,
    Listed, //
};
use compsc_core::{capability::Announcement, gate};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    device::Device,
    fmt,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::Delta,
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `Folder::new` before a device can be probed.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// The driver's folder in debugfs; removed when dropped.
pub(crate) struct Folder(());

impl Folder {
    /// Makes the folder. Called once, at module load.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once, before anything else uses the lock.
        unsafe { ROOT.init() };
        *ROOT.lock() = Some(Dir::new(c"compsc_vfio_pci"));
        Self(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        *ROOT.lock() = None;
    }
}

/// Figures of one function. Each is a single value, read and written without a lock.
#[derive(Default)]
pub(crate) struct Figures {
    state: Value,
    region_address: Value,
    region_length: Value,
    gate_word: Value,
    /// Transitions that were refused, or whose data could not be saved.
    pub(crate) refused: Value,
    /// Regions that the guest announced and that were not usable.
    bad_regions: Value,
    /// Device resets.
    pub(crate) resets: Value,
    /// Stops of the function.
    pub(crate) stops: Value,
    /// Last stop: until the queues were empty and disabled.
    pub(crate) drain_ns: Value,
    /// Last stop: until the bus was quiet, from the queues on.
    pub(crate) bus_ns: Value,
    /// Last stop: reading counters and marking pages.
    pub(crate) freeze_ns: Value,
    /// Last stop: descriptors posted and not sent.
    pub(crate) unsent: Value,
    /// Last stop: pages reported as dirty.
    pub(crate) pages: Value,
    /// Last stream, saved or received, in bytes.
    pub(crate) stream_bytes: Value,
    /// Guests told to restore their function.
    pub(crate) kicks: Value,
    /// Last kick: from the start of the transition to RUNNING.
    pub(crate) kick_ns: Value,
}

/// One figure.
pub(crate) struct Value(Atomic<u64>);

impl Default for Value {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Value {
    /// Sets the figure.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Sets a time; negative ones do not occur.
    pub(crate) fn set_time(&self, time: Delta) {
        self.set(time.as_nanos().unsigned_abs());
    }

    /// Counts one more, and returns how many there were before.
    pub(crate) fn count(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Figures {
    /// Notes the migration state by VFIO's number.
    pub(crate) fn set_state(&self, state: u32) {
        self.state.set(state.into());
    }

    /// Counts an unusable region. Returns whether there have been so few that a message about it does not let a
    /// guest flood the host's log.
    pub(crate) fn count_bad_region(&self) -> bool {
        self.bad_regions.count() < 32
    }

    /// Notes what is announced.
    pub(crate) fn set_region(&self, region: Option<Announcement>) {
        self.region_address.set(region.map_or(0, |r| r.address()));
        self.region_length
            .set(region.map_or(0, |r| r.length().into()));
    }

    /// Name of the migration state.
    fn state(&self) -> &'static str {
        let name = usize::try_from(self.state.get())
            .ok()
            .and_then(|s| STATES.get(s));
        name.unwrap_or(&"unknown")
    }

    /// Notes the gate word last seen or written.
    pub(crate) fn set_gate(&self, word: u32) {
        self.gate_word.set(word.into());
    }
}

/// Migration states by VFIO's numbers.
const STATES: [&str; 8] = [
    "error",
    "stop",
    "running",
    "stop_copy",
    "resuming",
    "running_p2p",
    "pre_copy",
    "pre_copy_p2p",
];

/// An attribute that shows what `value` makes of the figures.
macro_rules! attribute {
    ($name:literal, |$figures:ident| $value:expr) => {{
        const FILE: &Attribute<device::Device> = &Attribute::new($name, |device, page| {
            let $figures = &*device.function().figures;
            page.show($value)
        });
        FILE.listed()
    }};
}

/// The attributes of a device.
pub(crate) const FILES: &[Listed<device::Device>] = &[
    attribute!(c"state", |f| f.state()),
    attribute!(c"guest_driver", |f| u8::from(f.region_length.get() != 0)),
    attribute!(c"stops", |f| f.stops.get()),
    attribute!(c"restarts", |f| f.kicks.get()),
    attribute!(c"last_stop_us", |f| {
        (f.drain_ns.get() + f.bus_ns.get() + f.freeze_ns.get()) / 1000
    }),
    attribute!(c"last_restart_us", |f| f.kick_ns.get() / 1000),
    Listed::END,
];

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // CAST: stored from 32 bits.
        let word = self.gate_word.get() as u32;
        writeln!(f, "state {}", self.state())?;
        writeln!(f, "region_address {:#x}", self.region_address.get())?;
        writeln!(f, "region_length {}", self.region_length.get())?;
        writeln!(f, "gate_version {}", gate::version(word))?;
        writeln!(f, "gate_locked {}", u8::from(word & gate::LOCKED != 0))?;
        writeln!(
            f,
            "gate_dummy_writes {}",
            u8::from(word & gate::DUMMY_WRITES != 0)
        )?;
        for (name, value) in [
            ("refused", &self.refused),
            ("bad_regions", &self.bad_regions),
            ("resets", &self.resets),
            ("stops", &self.stops),
            ("kicks", &self.kicks),
            ("last_drain_ns", &self.drain_ns),
            ("last_bus_ns", &self.bus_ns),
            ("last_freeze_ns", &self.freeze_ns),
            ("last_unsent", &self.unsent),
            ("last_pages", &self.pages),
            ("last_stream_bytes", &self.stream_bytes),
            ("last_kick_ns", &self.kick_ns),
        ] {
            writeln!(f, "{name} {}", value.get())?;
        }
        Ok(())
    }
}

/// The files of one function; removed when dropped.
#[pin_data]
pub(crate) struct Report {
    #[pin]
    status: File<Arc<Figures>>,
    folder: Dir,
}

impl Report {
    /// Makes the files for `dev`, which was just probed.
    pub(crate) fn new<'a>(
        dev: &'a Device,
        figures: Arc<Figures>,
    ) -> Result<impl PinInit<Self, Error> + 'a> {
        let name = CString::try_from_fmt(fmt!("{}", dev.name()))?;
        let folder = match &*ROOT.lock() {
            Some(root) => root.subdir(&name),
            None => return Err(ENODEV),
        };
        let parent = folder.clone();
        Ok(try_pin_init!(Self {
            status <- {
                // The file keeps its folder.
                parent.read_callback_file(c"status", figures, &|figures: &Arc<Figures>, f| {
                    fmt::Display::fmt(&**figures, f)
                })
            },
            folder,
        }))
    }
}
