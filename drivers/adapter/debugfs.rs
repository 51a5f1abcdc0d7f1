// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/compsc/<function>/`: see Documentation/ABI/testing/debugfs-compsc.

use super::{
    Adapter,
    Chip, //
};
use crate::region::SharedRegion;
use compsc_core::{
    class::Replay,
    gate::{
        self,
        Word as _, //
    },
    log::{
        slot_value,
        SlotStore as _, //
    },
    regs::{
        self,
        Map, //
    },
};
use kernel::{
    debugfs::{
        BinaryWriter,
        Dir,
        File, //
    },
    fmt,
    fs::file,
    prelude::*,
    str::CString,
    sync::Arc,
    uaccess::{
        UserSliceReader,
        UserSliceWriter, //
    },
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `Root::new` before a driver module can use it.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// The folder of all functions; removed when dropped.
pub(crate) struct Root(());

impl Root {
    /// Makes the folder. Called once, at module load.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once, before anything else uses the lock.
        unsafe { ROOT.init() };
        *ROOT.lock() = Some(Dir::new(c"compsc"));
        Self(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        *ROOT.lock() = None;
    }
}

/// An adapter, for the time that its files exist.
struct Handle<C: Chip>(*const Adapter<C>);

// SAFETY: Adapters may be shared; the files are removed before the adapter is.
unsafe impl<C: Chip> Send for Handle<C> {}
// SAFETY: As above.
unsafe impl<C: Chip> Sync for Handle<C> {}

impl<C: Chip> Handle<C> {
    fn get(&self) -> &Adapter<C> {
        // SAFETY: Removing the files, which happens first, waits for those who read or write them.
        unsafe { &*self.0 }
    }
}

/// The shared region as the host sees it, byte by byte.
struct Bytes(Arc<SharedRegion>);

impl BinaryWriter for Bytes {
    fn write_to_slice(
        &self,
        writer: &mut UserSliceWriter,
        offset: &mut file::Offset,
    ) -> Result<usize> {
        let mut copy = KVVec::new();
        self.0.copy_out(&mut copy)?;
        writer.write_slice_file(&copy, offset)
    }
}

/// The files of one function; removed when dropped.
#[pin_data]
pub(super) struct Files<C: Chip> {
    #[pin]
    status: File<Handle<C>>,
    #[pin]
    log: File<Handle<C>>,
    #[pin]
    counters: File<Handle<C>>,
    #[pin]
    replay: File<Handle<C>>,
    #[pin]
    region: File<Bytes>,
    folder: Dir,
}

impl<C: Chip> Files<C> {
    /// Makes the files of an adapter, which must outlive them.
    pub(super) fn new(adapter: &Adapter<C>) -> Result<Pin<KBox<Self>>> {
        let name = CString::try_from_fmt(fmt!("{}", adapter.function.name()))?;
        let folder = match &*ROOT.lock() {
            Some(root) => root.subdir(&name),
            None => return Err(ENODEV),
        };
        let parent = folder.clone();
        KBox::try_pin_init(
            try_pin_init!(Self {
                status <- parent.read_callback_file(c"status", Handle(adapter), &Self::status),
                log <- parent.read_callback_file(c"log", Handle(adapter), &Self::log),
                counters <- parent.read_callback_file(c"counters", Handle(adapter), &Self::counters),
                replay <- parent.write_callback_file(c"replay", Handle(adapter), &Self::replay),
                region <- parent.read_binary_file(c"region", Bytes(adapter.region.clone())),
                folder,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// One `name value` pair per line.
    fn status(handle: &Handle<C>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adapter = handle.get();
        let control = adapter.control.lock();
        let word = adapter.gate.word().load();
        let (restores, last_ns) = adapter.region.restores();
        let [reset, mailbox, replay, rings] = adapter.region.restore_parts_ns();
        writeln!(f, "driver {}", fmt_str(C::NAME))?;
        writeln!(f, "interface {}", fmt_str(adapter.netdev_name()))?;
        writeln!(f, "state {}", control.state())?;
        writeln!(f, "migratable {}", u8::from(adapter.offer.is_some()))?;
        writeln!(f, "region_address {:#x}", adapter.region.dma_address())?;
        writeln!(f, "region_length {}", adapter.region.length())?;
        writeln!(f, "gate_version {}", gate::version(word))?;
        writeln!(f, "gate_locked {}", u8::from(word & gate::LOCKED != 0))?;
        writeln!(
            f,
            "gate_dummy_writes {}",
            u8::from(word & gate::DUMMY_WRITES != 0)
        )?;
        writeln!(f, "restores {restores}")?;
        for (name, ns) in [
            ("last_restore_ns", last_ns),
            ("last_reset_ns", reset),
            ("last_mailbox_ns", mailbox),
            ("last_replay_ns", replay),
            ("last_rings_ns", rings),
        ] {
            writeln!(f, "{name} {ns}")?;
        }
        Ok(())
    }

    /// One recorded register per line, in the order of replay within each phase.
    fn log(handle: &Handle<C>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adapter = handle.get();
        let log = adapter.region.log();
        for register in C::Map::TABLE {
            let Replay::LastWrite(phase) = register.replay else {
                continue;
            };
            for index in 0..register.count {
                if let Some(value) = slot_value(log.load(register.slot + index)) {
                    let line = regs::decode(C::Map::TABLE, register.offset_of(index), value);
                    writeln!(f, "{:10} {line}", phase.name())?;
                }
            }
        }
        Ok(())
    }

    /// One self-emulated counter per line: what the register holds, what is added to it, and the sum.
    fn counters(handle: &Handle<C>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adapter = handle.get();
        let mut control = adapter.control.lock();
        adapter.update_counters(&mut control);
        for (desc, value) in C::COUNTERS.iter().zip(control.counters.emulated()) {
            let (hardware, shown) = (value.last(), value.value());
            writeln!(
                f,
                "{} hardware {hardware} base {} shown {shown}",
                fmt_str(desc.name),
                // CAST: The register may have counted for somebody else before: then the base is negative.
                shown.wrapping_sub(hardware) as i64
            )?;
        }
        Ok(())
    }

    /// Any write restores the function as after a migration, and waits until that is done.
    fn replay(handle: &Handle<C>, _input: &mut UserSliceReader) -> Result {
        let adapter = handle.get();
        let mut control = adapter.control.lock();
        if control.detached {
            return Err(ENODEV);
        }
        adapter.restore_if_needed(&mut control, true)
    }
}

/// A C string that is known to be ASCII.
fn fmt_str(s: &kernel::str::CStr) -> &str {
    s.to_str().unwrap_or("?")
}
