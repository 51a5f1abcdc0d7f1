// SPDX-License-Identifier: GPL-2.0

//! The state machine, with a guest that has announced nothing and with one that has.

use crate::ensure;
use crate::ensure_eq;
use crate::ktap::Result;
use crate::ktap::Test;
use crate::vfio;
use crate::vfio::Function;
use crate::vfio::State;
use crate::Context;
use compsc_core::capability as cap;
use compsc_core::gate;
use compsc_core::region::offset;
use compsc_core::region::COUNTER_FROZEN;
use compsc_core::regs::Register;
use compsc_core::stream::HEADER_LEN;
use compsc_regs::vf82576 as vf;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use vfio_states::region;
use vfio_states::region::Guest;
use vfio_states::region::Machine;
use vfio_states::region::COUNTERS;
use vfio_states::region::KICK;
use vfio_states::region::PAGE;
use vfio_states::region::REGION;

pub(crate) const TESTS: &[Test<Context>] = &[
    ("capability.layout", capability_layout),
    ("capability.sizes", capability_sizes),
    ("state.features", features),
    ("state.all_pairs", all_pairs),
    ("state.unknown", unknown_states),
    ("state.reset_everywhere", reset_everywhere),
    ("state.reset_of_function", function_reset),
    ("state.sysfs", attributes),
    ("save.precopy", save_precopy),
    ("save.closed_file", closed_file),
    ("save.file_outlives_device", file_outlives_device),
    ("region.dirty_pages", dirty_pages),
    ("region.gate_and_kick", gate_and_kick),
    ("region.abort_precopy", abort_precopy),
    ("region.counters", counters),
    ("region.queues_stop", queues_stop),
    ("region.undrained", undrained),
    ("region.forgotten", region_forgotten),
    ("region.announced_late", announced_late),
    ("region.untracked", untracked),
];

fn capability_layout(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let base = region::find_capability(&f)?;
    let at = |o: usize| f.config_u32(base + o as u64);
    ensure_eq!(f.config_u8(base as u8 + 1)?, 0, "next capability");
    ensure_eq!(
        usize::from(f.config_u8(base as u8 + 2)?),
        cap::LENGTH,
        "length"
    );
    ensure_eq!(f.config_u8(base as u8 + 3)?, cap::ABI_VERSION, "version");
    ensure_eq!(at(cap::OFFSET_CONTROL)?, cap::STATUS_MIGRATABLE, "status");
    // All of configuration space at once reads as byte by byte.
    let mut whole = [0; 256];
    ensure_eq!(f.read_config(0, &mut whole)?, 256, "bytes read");
    for (offset, &byte) in whole.iter().enumerate() {
        ensure_eq!(f.config_u8(offset as u8)?, byte, "byte {offset:#x}");
    }
    Ok(())
}

/// The same announcement, in writes of 1, 2, 4 and 16 bytes.
fn capability_sizes(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let base = region::find_capability(&f)?;
    let mut image = [0; 16];
    image[0] = cap::CONTROL_ANNOUNCE as u8;
    image[4..8].copy_from_slice(&0x2000u32.to_le_bytes());
    image[8..].copy_from_slice(&vfio::IOVA.to_le_bytes());
    for size in [1, 2, 4, 16] {
        f.write_config(base + cap::OFFSET_CONTROL as u64, &[0])?;
        ensure!(!region::is_accepted(&f)?, "not retracted");
        // Control last, unless all comes at once.
        for (i, part) in image.chunks(size).enumerate().rev() {
            f.write_config(base + (cap::OFFSET_CONTROL + i * size) as u64, part)?;
        }
        ensure!(
            region::is_accepted(&f)?,
            "not accepted in writes of {size} bytes"
        );
        let mut back = [0; 16];
        f.read_config(base + cap::OFFSET_CONTROL as u64, &mut back)?;
        ensure_eq!(back[4..], image[4..], "fields read back");
    }
    for (address, len) in [
        (0x1001, 0x1000),
        (0x1000, 0),
        (0x1000, 8 << 20),
        (!0xfff, 0x1000),
    ] {
        ensure!(
            !region::announce(&f, address, len)?,
            "accepted {address:#x}+{len:#x}"
        );
    }
    Ok(())
}

fn features(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    ensure_eq!(f.migration_flags()?, 7, "STOP_COPY | P2P | PRE_COPY");
    ensure_eq!(f.state()?, State::Running, "first state");
    let size = f.data_size()?;
    ensure!((1..=65536).contains(&size), "data size {size}");
    Ok(())
}

/// Whether VFIO's rules let the driver get from one state to another without a stream.
fn possible(from: State, to: State) -> bool {
    use State::*;
    from == to
        || !(matches!(from, StopCopy) && matches!(to, PreCopy | PreCopyP2p) || from == Resuming)
}

fn all_pairs(c: &Context) -> Result {
    for announced in [false, true] {
        let f = Function::open(&c.source)?;
        for from in State::ALL {
            for to in State::ALL {
                if announced {
                    Guest::announced(&f)?;
                }
                let first = f.set_state(from)?;
                ensure_eq!(f.state()?, from, "reached from RUNNING");
                let second = f.set_state(to);
                let what = format!("{from:?} to {to:?}");
                ensure_eq!(second.is_ok(), possible(from, to), "{what}: {second:?}");
                let now = f.state()?;
                ensure_eq!(
                    now,
                    if second.is_ok() { to } else { from },
                    "state after {what}"
                );
                if let (Ok(Some(_)), false) = (&second, from == to) {
                    use State::*;
                    ensure!(
                        matches!(to, PreCopy | PreCopyP2p | StopCopy | Resuming),
                        "{what} opened a file"
                    );
                }
                drop((first, second));
                f.reset()?;
                ensure_eq!(f.state()?, State::Running, "after a reset");
            }
        }
    }
    Ok(())
}

fn unknown_states(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    for number in [0, 8, 9, 1 << 16, u32::MAX] {
        ensure!(
            f.set_state_number(number).is_err(),
            "state {number} was accepted"
        );
        ensure_eq!(f.state()?, State::Running, "after state {number}");
    }
    Ok(())
}

/// A machine reset ends any transfer and forgets the region.
fn reset_everywhere(c: &Context) -> Result {
    for state in State::ALL {
        let f = Function::open(&c.source)?;
        Guest::announced(&f)?;
        let file = f.set_state(state)?;
        f.reset()?;
        ensure_eq!(f.state()?, State::Running, "after a reset in {state:?}");
        ensure!(
            !region::is_accepted(&f)?,
            "region still known after a reset in {state:?}"
        );
        ensure!(
            f.is_bus_master()?,
            "bus mastering lost by a reset in {state:?}"
        );
        if let Some(mut file) = file {
            ensure!(
                dead(&mut file),
                "file of {state:?} still works after a reset"
            );
        }
        // And it can be used again.
        Guest::announced(&f)?;
        f.set_state(State::StopCopy)?;
        f.set_state(State::Running)?;
    }
    Ok(())
}

fn dead(file: &mut File) -> bool {
    file.read(&mut [0; 8]).is_err() && file.write(&[0; 8]).is_err()
}

/// A reset by the guest (FLR) while it runs is its own business.
fn function_reset(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let express = find_express(&f)?;
    for state in [State::Running, State::PreCopy] {
        let mut file = f.set_state(state)?;
        let mut control = [0; 2];
        f.read_config(express + 8, &mut control)?;
        control[1] |= 0x80;
        f.write_config(express + 8, &control)?;
        ensure_eq!(f.state()?, state, "after an FLR");
        ensure!(region::is_accepted(&f)?, "region forgotten by an FLR");
        if let Some(file) = &mut file {
            ensure_eq!(file.read(&mut [0; 64])?, HEADER_LEN, "header after an FLR");
        }
    }
    f.set_state(State::StopCopy)?;
    ensure!(guest.gate(&f) & gate::LOCKED != 0, "gate not locked");
    f.set_state(State::Running)?;
    Ok(())
}

/// The function's attributes tell what happens to it.
fn attributes(c: &Context) -> Result {
    let folder = Path::new("/sys/bus/pci/devices")
        .join(&c.source)
        .join("compsc");
    let text = |name: &str| -> Result<String> {
        let text = std::fs::read_to_string(folder.join(name))?;
        let value = text.strip_suffix('\n').ok_or("no end of line")?;
        ensure!(!value.contains('\n'), "{name} has more than one line");
        Ok(value.to_owned())
    };
    let number = |name: &str| -> Result<u64> { Ok(text(name)?.parse()?) };
    let mut names: Vec<String> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    let known = [
        "guest_driver",
        "last_restart_us",
        "last_stop_us",
        "restarts",
        "state",
        "stops",
    ];
    ensure_eq!(names, known, "the attributes");

    let f = Function::open(&c.source)?;
    ensure_eq!(number("guest_driver")?, 0, "before an announcement");
    Guest::announced(&f)?;
    ensure_eq!(number("guest_driver")?, 1, "after an announcement");
    let (stops, restarts) = (number("stops")?, number("restarts")?);
    for (state, name) in [
        (State::PreCopy, "pre_copy"),
        (State::StopCopy, "stop_copy"),
        (State::Stop, "stop"),
        (State::RunningP2p, "running_p2p"),
        (State::Running, "running"),
    ] {
        f.set_state(state)?;
        ensure_eq!(text("state")?, name, "the state");
    }
    ensure_eq!(number("stops")?, stops + 1, "stops");
    ensure_eq!(number("restarts")?, restarts + 1, "restarts");
    ensure!(number("last_stop_us")? > 0, "the stop took no time");
    // Telling the guest may take less than a microsecond.
    number("last_restart_us")?;
    f.reset()?;
    ensure_eq!(number("guest_driver")?, 0, "after a reset");
    Ok(())
}

fn find_express(f: &Function) -> Result<u64> {
    let mut at = f.config_u8(0x34)?;
    for _ in 0..48 {
        if at != 0 && f.config_u8(at)? == 0x10 {
            return Ok(at.into());
        }
        at = f.config_u8(at + 1)?;
    }
    Err("no PCI Express capability".into())
}

fn is_errno(result: std::io::Result<usize>, errno: i32) -> bool {
    result.is_err_and(|e| e.raw_os_error() == Some(errno))
}

fn save_precopy(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
    ensure!(
        vfio::short_precopy_info(&file).is_err(),
        "a structure too short was filled in"
    );
    ensure_eq!(
        vfio::precopy_info(&file)?,
        (HEADER_LEN as u64, 0),
        "precopy info"
    );
    let mut stream = vec![0; 5];
    file.read_exact(&mut stream)?;
    ensure_eq!(
        vfio::precopy_info(&file)?,
        (HEADER_LEN as u64 - 5, 0),
        "precopy info"
    );
    let mut rest = [0; 4096];
    let n = file.read(&mut rest)?;
    stream.extend(&rest[..n]);
    ensure_eq!(stream.len(), HEADER_LEN, "bytes in PRE_COPY");
    ensure!(is_errno(file.read(&mut rest), libc::ENOMSG), "no ENOMSG");
    ensure!(
        is_errno(file.write(&[0]), libc::EBADF),
        "the file can be written"
    );
    ensure!(f.set_state(State::PreCopyP2p)?.is_none(), "second file");
    ensure!(
        is_errno(file.read(&mut rest), libc::ENOMSG),
        "no ENOMSG in PRE_COPY_P2P"
    );
    ensure!(f.set_state(State::StopCopy)?.is_none(), "second file");
    ensure!(
        vfio::precopy_info(&file).is_err(),
        "precopy info in STOP_COPY"
    );
    file.read_to_end(&mut stream)?;
    crate::streams::parse(&stream)?;
    f.set_state(State::Stop)?;
    ensure!(dead(&mut file), "the file outlives STOP_COPY");
    Ok(())
}

/// The user may close the file at any time.
fn closed_file(c: &Context) -> Result {
    for state in [State::PreCopy, State::StopCopy, State::Resuming] {
        let f = Function::open(&c.source)?;
        drop(f.set_state(state)?);
        let next = f.set_state(State::Stop);
        ensure_eq!(
            next.is_ok(),
            state != State::Resuming,
            "STOP after {state:?}"
        );
        f.reset()?;
    }
    Ok(())
}

fn file_outlives_device(c: &Context) -> Result {
    for state in [State::PreCopy, State::StopCopy, State::Resuming] {
        let f = Function::open(&c.source)?;
        let mut file = f.set_state(state)?.ok_or("no file")?;
        drop(f);
        ensure!(dead(&mut file), "the file of {state:?} outlives the device");
        let f = Function::open(&c.source)?;
        ensure_eq!(f.state()?, State::Running, "state after opening again");
        ensure!(dead(&mut file), "the file of {state:?} came back to life");
    }
    Ok(())
}

/// With a region, exactly what the device may have written counts as dirty.
fn dirty_pages(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    f.start_tracking()?;
    ensure_eq!(
        f.dirty()?.len(),
        vfio::MEMORY / PAGE,
        "dirty pages before the migration"
    );
    let _file = f.set_state(State::PreCopy)?;
    f.dirty()?;
    ensure_eq!(f.dirty()?, Vec::<usize>::new(), "dirty pages in PRE_COPY");
    f.set_state(State::StopCopy)?;
    let dirty = f.dirty()?;
    for page in guest.device_pages() {
        ensure!(
            dirty.contains(&page),
            "page {page} is not dirty after the stop"
        );
    }
    let (region, device) = (guest.region_pages(), guest.device_pages());
    for page in &dirty {
        ensure!(
            region.contains(page) || device.contains(page),
            "page {page} is dirty, which the device could not write"
        );
    }
    ensure!(
        dirty.contains(&region.start),
        "the region's first page is not dirty"
    );
    ensure_eq!(
        f.dirty()?,
        Vec::<usize>::new(),
        "dirty pages after the last look"
    );
    Ok(())
}

fn gate_and_kick(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let mut events = f.events()?;
    let mut fired = |n: usize| events[n].read(&mut [0; 8]).is_ok();
    let mut version = 0;
    for (i, way) in [
        [State::Stop].as_slice(),
        &[State::PreCopy, State::StopCopy],
        &[State::PreCopy, State::PreCopyP2p, State::PreCopy],
        &[State::StopCopy, State::Stop],
        &[State::RunningP2p],
    ]
    .into_iter()
    .enumerate()
    {
        let mut files = Vec::new();
        for &state in way {
            files.push(f.set_state(state)?);
            let word = guest.gate(&f);
            let stopped = matches!(state, State::Stop | State::StopCopy);
            ensure_eq!(
                word & gate::LOCKED != 0,
                stopped,
                "lock in {state:?} of way {i}"
            );
            let precopy = matches!(state, State::PreCopy | State::PreCopyP2p);
            if precopy {
                ensure!(
                    word & gate::DUMMY_WRITES != 0,
                    "no dummy writes asked for in {state:?}"
                );
            }
            if !(precopy && files.len() > 2) {
                ensure_eq!(
                    gate::version(word),
                    version,
                    "version in {state:?} of way {i}"
                );
            } else {
                version += 1;
                ensure_eq!(gate::version(word), version, "version back in PRE_COPY");
                // TIMEOUT: the interrupt is on its way.
                std::thread::sleep(std::time::Duration::from_millis(20));
                ensure!(fired(usize::from(KICK)), "no kick back in PRE_COPY");
            }
        }
        f.set_state(State::Running)?;
        // Dummy writes go on once a PRE_COPY has asked for them.
        let word = gate::with_dummy_writes(guest.gate(&f), false);
        if way.last() != Some(&State::PreCopy) {
            version += 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
            ensure!(fired(usize::from(KICK)), "no kick after way {i}");
        }
        ensure_eq!(
            word,
            version << gate::VERSION_SHIFT,
            "gate word after way {i}"
        );
        ensure_eq!(
            f.memory.u32(REGION + offset::HOST_RESTARTS),
            version,
            "restarts"
        );
        ensure!(!fired(0) && !fired(1), "another vector was raised");
        ensure!(f.is_bus_master()?, "bus mastering is off after way {i}");
        guest.restore(&f);
    }
    Ok(())
}

fn abort_precopy(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    for _ in 0..3 {
        let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
        ensure_eq!(guest.gate(&f), gate::DUMMY_WRITES, "gate in PRE_COPY");
        f.set_state(State::Running)?;
        // The pinned-page scope cannot be left, so the guest goes on with dummy writes.
        ensure_eq!(guest.gate(&f), gate::DUMMY_WRITES, "gate after the abort");
        ensure!(dead(&mut file), "the file outlives the abort");
    }
    Ok(())
}

fn counters(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let entry = |i: usize| REGION + guest.layout.counter_offset(i as u32) as usize;
    f.set_state(State::StopCopy)?;
    ensure_eq!(
        f.memory.u32(REGION + offset::FROZEN_VERSION),
        1,
        "version of the values"
    );
    for (i, &register) in COUNTERS.iter().enumerate() {
        let flags = f.memory.get(entry(i) + offset::COUNTER_HOST_FLAGS, 1)[0];
        ensure_eq!(flags, COUNTER_FROZEN, "flags of counter {i}");
        let frozen = f.memory.u32(entry(i) + offset::COUNTER_FROZEN);
        ensure_eq!(
            frozen,
            f.register(register as u64)?,
            "counter {register:#x}"
        );
    }
    f.set_state(State::Running)?;
    // The guest has not restored the function yet: the values stay, for the next version.
    for i in 0..COUNTERS.len() {
        f.memory
            .put(entry(i) + offset::COUNTER_FROZEN, &77u64.to_le_bytes());
    }
    f.set_state(State::StopCopy)?;
    ensure_eq!(
        f.memory.u32(REGION + offset::FROZEN_VERSION),
        2,
        "version of the values"
    );
    for i in 0..COUNTERS.len() {
        ensure_eq!(
            f.memory.u32(entry(i) + offset::COUNTER_FROZEN),
            77,
            "counter {i}"
        );
    }
    f.set_state(State::Running)?;
    guest.restore(&f);
    f.set_state(State::StopCopy)?;
    ensure!(
        f.memory.u32(entry(0) + offset::COUNTER_FROZEN) != 77,
        "counter 0 was not read again"
    );
    Ok(())
}

/// Queues stop; for a guest that has announced nothing they go on afterwards.
fn queues_stop(c: &Context) -> Result {
    // The same bit in both.
    let enable = vf::RXDCTL::zeroed().set(vf::RXDCTL::ENABLE).raw();
    for announced in [false, true] {
        let f = Function::open(&c.source)?;
        f.set_bus_master(true)?;
        if announced {
            Guest::announced(&f)?;
        }
        for register in [vf::RXDCTL::OFFSET, vf::TXDCTL::OFFSET] {
            f.set_register(register as u64, enable)?;
        }
        let enabled = || -> Result<[bool; 2]> {
            let on = |r: usize| f.register(r as u64).map(|v| v & enable != 0);
            Ok([on(vf::RXDCTL::OFFSET)?, on(vf::TXDCTL::OFFSET)?])
        };
        ensure_eq!(enabled()?, [true; 2], "queues before");
        f.set_state(State::RunningP2p)?;
        ensure_eq!(enabled()?, [false; 2], "queues in RUNNING_P2P");
        ensure!(!f.is_bus_master()?, "bus mastering is on in RUNNING_P2P");
        f.set_state(State::Running)?;
        ensure_eq!(enabled()?, [!announced; 2], "queues afterwards");
        ensure!(f.is_bus_master()?, "bus mastering is off afterwards");
    }
    Ok(())
}

/// What the hardware does not send is counted, and does not hold up the stop.
fn undrained(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    Guest::announced(&f)?;
    let enable = vf::TXDCTL::zeroed().set(vf::TXDCTL::ENABLE).raw();
    for queue in 0..vf::QUEUES {
        let set = |register: usize, value: u32| {
            f.set_register((register + queue * vf::TDH::STRIDE) as u64, value)
        };
        set(vf::TDLEN::OFFSET, 16 * region::RING)?;
        set(vf::TXDCTL::OFFSET, enable)?;
        // Writing the head is something that only a test may do; real hardware ignores it.
        set(vf::TDH::OFFSET, 10 + queue as u32)?;
    }
    if f.register(vf::TDH::OFFSET as u64)? != 10 {
        println!("# the hardware does not let us set a head");
        return Ok(());
    }
    let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
    let start = std::time::Instant::now();
    f.set_state(State::StopCopy)?;
    let time = start.elapsed();
    ensure!(time.as_millis() < 500, "the stop took {time:?}");
    let state = crate::streams::parse(&read_all(&mut file)?)?;
    let unsent: Vec<_> = state.unsent.iter().map(|u| (u.queue, u.count)).collect();
    let expected: Vec<_> = (0..vf::QUEUES as u16)
        .map(|q| (q, region::RING - 10 - u32::from(q)))
        .collect();
    ensure_eq!(unsent, expected, "unsent descriptors in the stream");
    let total: u32 = expected.iter().map(|&(_, n)| n).sum();
    ensure_eq!(
        f.memory.u32(REGION + offset::UNDRAINED),
        total,
        "unsent descriptors in the region"
    );
    for queue in 0..vf::QUEUES {
        f.set_register((vf::TDH::OFFSET + queue * vf::TDH::STRIDE) as u64, 0)?;
    }
    f.set_state(State::Running)?;
    Ok(())
}

fn region_forgotten(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    f.set_state(State::Stop)?;
    ensure!(
        guest.gate(&f) & gate::LOCKED != 0,
        "gate not locked in STOP"
    );
    f.reset()?;
    ensure!(
        guest.gate(&f) & gate::LOCKED != 0,
        "the region was touched by a reset"
    );
    // The guest finds out and announces again: it has to get out of the lock.
    region::announce(&f, vfio::IOVA + REGION as u64, guest.length())?;
    ensure_eq!(
        guest.gate(&f),
        1 << gate::VERSION_SHIFT,
        "gate after announcing again"
    );
    Ok(())
}

/// A driver that is loaded during pre-copy is asked for dummy writes, too.
fn announced_late(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let _file = f.set_state(State::PreCopy)?;
    let guest = Guest::announced(&f)?;
    ensure_eq!(guest.gate(&f), gate::DUMMY_WRITES, "gate");
    f.set_state(State::StopCopy)?;
    f.set_state(State::Running)?;
    Ok(())
}

/// A guest whose DMA nobody tracks must not migrate in pinned-page scope.
fn untracked(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let retract = || region::announce(&f, 1, 0);
    f.set_state(State::PreCopy)?;
    f.set_state(State::Running)?;
    // The driver goes, and another comes.
    retract()?;
    ensure!(
        is_busy(f.set_state(State::PreCopy)),
        "PRE_COPY without a region"
    );
    f.set_bus_master(false)?;
    let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
    f.set_bus_master(true)?;
    f.set_state(State::StopCopy)?;
    ensure!(
        read_all(&mut file).is_err(),
        "stream although another driver came"
    );
    f.set_state(State::Running)?;
    // The driver comes back during pre-copy.
    f.set_bus_master(false)?;
    let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
    f.set_bus_master(true)?;
    region::announce(&f, vfio::IOVA + REGION as u64, guest.length())?;
    f.set_state(State::StopCopy)?;
    ensure!(
        read_all(&mut file).is_ok(),
        "no stream although the driver came back"
    );
    f.set_state(State::Running)?;
    Ok(())
}

fn is_busy(result: std::io::Result<Option<File>>) -> bool {
    result.is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY))
}

/// Reads a stream to its end.
pub(crate) fn read_all(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut stream = Vec::new();
    file.read_to_end(&mut stream)?;
    Ok(stream)
}
