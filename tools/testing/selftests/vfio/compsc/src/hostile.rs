// SPDX-License-Identifier: GPL-2.0

//! A guest that writes what it likes, and a user that does everything at once.

use crate::ensure;
use crate::ensure_eq;
use crate::ktap::Result;
use crate::ktap::Test;
use crate::states::read_all;
use crate::vfio::Function;
use crate::vfio::State;
use crate::vfio::IOVA;
use crate::vfio::MEMORY;
use crate::Context;
use compsc_core::gate;
use compsc_core::region::offset;
use compsc_core::region::QueueEntry;
use std::io::Read;
use std::io::Write;
use std::mem::offset_of;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Instant;
use vfio_states::random::Random;
use vfio_states::region;
use vfio_states::region::Guest;
use vfio_states::region::Machine;
use vfio_states::region::PAGE;
use vfio_states::region::REGION;

pub(crate) const TESTS: &[Test<Context>] = &[
    ("hostile.capability", capability),
    ("hostile.header", header),
    ("hostile.queues", queues),
    ("hostile.outside_memory", outside_memory),
    ("hostile.broken_at_stop", broken_at_stop),
    ("hostile.unmapped", unmapped),
    ("hostile.random_region", random_region),
    ("hostile.changing_region", changing_region),
    ("hostile.everything_at_once", everything),
];

/// Writes to the capability, and to the bytes beside it.
fn capability(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    Guest::new(&f)?;
    let base = region::find_capability(&f)?;
    let mut random = Random::new(2);
    let end = Instant::now() + c.time;
    let mut step = 0;
    while Instant::now() < end {
        region::scribble(&f, base, &mut random)?;
        ensure_eq!(
            region::find_capability(&f)?,
            base,
            "capability after step {step}"
        );
        step += 1;
        if step % 16 == 0 {
            // Whatever is announced now may be refused, but the way back is open.
            let _ = f.set_state(State::PreCopy);
            let _ = f.set_state(State::StopCopy);
            f.set_state(State::Running)?;
        }
    }
    println!("# {step} writes");
    Ok(())
}

/// Pre-copy must be refused, with the function still running.
fn refused(f: &Function, what: &str) -> Result {
    ensure!(f.set_state(State::PreCopy).is_err(), "{what} was accepted");
    ensure_eq!(f.state()?, State::Running, "state after {what}");
    Ok(())
}

fn header(c: &Context) -> Result {
    for (at, bytes) in [
        (0, vec![0u8; 8]),         // magic
        (0x08, vec![2, 0]),        // ABI
        (0x0a, vec![0, 2]),        // header length
        (0x0c, vec![2, 0]),        // chip
        (0x0e, vec![2, 0]),        // role
        (0x0e, vec![0, 0]),        // role
        (0x10, vec![0xff; 4]),     // region length
        (0x10, vec![0; 4]),        // region length
        (0x14, vec![9, 0, 0, 0]),  // device state
        (0x18, vec![0xff; 4]),     // log
        (0x1c, vec![0xff; 4]),     // log slots
        (0x20, vec![0; 4]),        // counters over the header
        (0x24, vec![0xff; 4]),     // counters
        (0x28, vec![1, 1, 0, 0]),  // queues, unaligned
        (0x2c, vec![17, 0, 0, 0]), // queues
        (0x30, vec![3, 0]),        // vector
        (0x30, vec![0xff, 0xff]),  // vector
    ] {
        let f = Function::open(&c.source)?;
        Guest::announced(&f)?;
        f.memory.put(REGION + at, &bytes);
        refused(&f, &format!("header with {bytes:?} at {at:#x}"))?;
    }
    Ok(())
}

fn queues(c: &Context) -> Result {
    for (at, bytes) in [
        (offset_of!(QueueEntry, kind), vec![3u8, 0]),
        (offset_of!(QueueEntry, hw_index), vec![0xff, 0xff]),
        (offset_of!(QueueEntry, ring_len), vec![0xff; 4]),
        (offset_of!(QueueEntry, ring_len), vec![0; 4]),
        (offset_of!(QueueEntry, ring_addr), vec![0xff; 8]),
        (offset_of!(QueueEntry, ring_addr), vec![1]),
        (offset_of!(QueueEntry, desc_size), vec![32, 0]),
        (offset_of!(QueueEntry, buffer_len), vec![0xff; 4]),
        (
            offset_of!(QueueEntry, next_to_clean),
            vec![0xff, 0xff, 0, 0],
        ),
        (offset_of!(QueueEntry, table_offset), vec![0; 4]),
        (
            offset_of!(QueueEntry, table_offset),
            vec![0xf8, 0xff, 0xff, 0xff],
        ),
        (offset_of!(QueueEntry, writeback_addr), vec![1]),
    ] {
        let f = Function::open(&c.source)?;
        let guest = Guest::announced(&f)?;
        let queue = REGION + guest.layout.queue_offset(0) as usize;
        f.memory.put(queue + at, &bytes);
        refused(&f, &format!("queue with {bytes:?} at {at}"))?;
    }
    Ok(())
}

/// Regions that are not in memory, or only in part.
fn outside_memory(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    for (address, len) in [
        (0, 4096),
        (IOVA - 4096, 4096),
        (IOVA + MEMORY as u64, 4096),
        (1 << 63, 1 << 20),
        (u64::MAX - (1 << 20) + 1 - 4096, 1 << 20),
    ] {
        ensure!(
            region::announce(&f, address, len)?,
            "{address:#x} not accepted"
        );
        refused(&f, &format!("region at {address:#x}"))?;
    }
    drop(f);
    // The last page is missing.
    let f = Function::open(&c.source)?;
    Guest::announced(&f)?;
    let end = MEMORY - PAGE;
    let region = f.memory.get(REGION, PAGE);
    f.memory.put(end, &region);
    let len = 2 * PAGE as u32;
    f.memory.put(end + 0x10, &len.to_le_bytes());
    region::announce(&f, IOVA + end as u64, len)?;
    refused(&f, "region beyond the end of memory")
}

/// What goes wrong after the guest has stopped ends the stream, and the guest goes on.
fn broken_at_stop(c: &Context) -> Result {
    let far = (1u64 << 40).to_le_bytes();
    for what in ["header", "ring", "buffer", "write-back"] {
        let f = Function::open(&c.source)?;
        let guest = Guest::announced(&f)?;
        let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
        let queue = |n: u32| REGION + guest.layout.queue_offset(n) as usize;
        match what {
            "header" => f.memory.put(REGION, &[0; 8]),
            "ring" => f
                .memory
                .put(queue(1) + offset_of!(QueueEntry, ring_addr), &far),
            "write-back" => f
                .memory
                .put(queue(1) + offset_of!(QueueEntry, writeback_addr), &far),
            _ => f
                .memory
                .put(REGION + guest.layout.table_offset(0) as usize + 80, &far),
        }
        f.set_state(State::StopCopy)?;
        ensure!(
            read_all(&mut file).is_err(),
            "a stream with a broken {what}"
        );
        f.set_state(State::Running)?;
        ensure!(
            f.is_bus_master()?,
            "bus mastering is off after a broken {what}"
        );
        if what != "header" {
            ensure_eq!(
                gate::with_dummy_writes(guest.gate(&f), false),
                1 << gate::VERSION_SHIFT,
                "gate after a broken {what}"
            );
        }
    }
    Ok(())
}

/// Memory goes away under the region.
fn unmapped(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    Guest::announced(&f)?;
    f.unmap()?;
    refused(&f, "an unmapped region")?;
    f.map()?;
    for state in [State::PreCopy, State::StopCopy, State::Stop] {
        let file = f.set_state(state)?;
        f.unmap()?;
        let _ = f.set_state(State::StopCopy);
        f.set_state(State::Running)?;
        f.map()?;
        drop(file);
    }
    Ok(())
}

/// Forged numbers anywhere in the region, and all transitions.
fn random_region(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let mut random = Random::new(3);
    let end = Instant::now() + c.time;
    let (mut rounds, mut accepted) = (0, 0);
    while Instant::now() < end {
        let guest = Guest::announced(&f)?;
        guest.forge(&f, &mut random);
        let file = f.set_state(State::PreCopy);
        let _ = f.set_state(State::StopCopy);
        if let Ok(Some(mut file)) = file {
            accepted += u32::from(read_all(&mut file).is_ok());
        }
        f.set_state(State::Running)?;
        rounds += 1;
    }
    println!("# {rounds} regions, {accepted} were usable");
    Ok(())
}

/// The region changes while the host reads it.
fn changing_region(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let stop = AtomicBool::new(false);
    let mut rounds = 0;
    std::thread::scope(|scope| -> Result {
        scope.spawn(|| {
            let mut random = Random::new(4);
            while !stop.load(Ordering::Relaxed) {
                guest.flicker(&f, &mut random);
            }
        });
        let end = Instant::now() + c.time;
        let mut result = Ok(());
        while Instant::now() < end && result.is_ok() {
            let file = f.set_state(State::PreCopy);
            let _ = f.set_state(State::StopCopy);
            if let Ok(Some(mut file)) = file {
                let _ = read_all(&mut file);
            }
            result = f.set_state(State::Running).map(drop);
            rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        Ok(result?)
    })?;
    println!("# {rounds} rounds");
    Ok(())
}

/// State changes, resets, configuration cycles, memory that comes and goes, reads and writes of the streams, all
/// from threads of their own. Nothing may hang, and in the end all works.
fn everything(c: &Context) -> Result {
    let f = Function::open(&c.source)?;
    let guest = Guest::announced(&f)?;
    let end = Instant::now() + c.time;
    let files = std::sync::Mutex::new(Vec::<std::fs::File>::new());
    let busy = |seed: u64, work: &dyn Fn(&mut Random)| {
        let mut random = Random::new(seed);
        while Instant::now() < end {
            work(&mut random);
        }
    };
    let file = |random: &mut Random| {
        let files = files.lock().ok()?;
        let index = random.below(files.len().max(1) as u64) as usize;
        files.get(index)?.try_clone().ok()
    };
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (f, files) = (&f, &files);
            scope.spawn(move || {
                busy(seed, &|random| {
                    let state = State::ALL[random.below(7) as usize];
                    if let (Ok(Some(file)), Ok(mut files)) = (f.set_state(state), files.lock()) {
                        files.push(file);
                        if files.len() > 8 {
                            files.remove(random.below(8) as usize);
                        }
                    }
                });
            });
        }
        scope.spawn(|| {
            busy(10, &|random| {
                if let Some(mut file) = file(random) {
                    let _ = file.read(&mut [0; 300]);
                    let _ = file.write(&[0; 10]);
                    let _ = crate::vfio::precopy_info(&file);
                }
            });
        });
        scope.spawn(|| {
            busy(11, &|random| {
                std::thread::sleep(std::time::Duration::from_millis(random.below(20)));
                let _ = f.reset();
            });
        });
        scope.spawn(|| {
            busy(12, &|random| {
                let _ = f.set_bus_master(random.below(2) == 0);
                let _ = region::announce(&f, IOVA + REGION as u64, guest.length());
                if random.below(4) == 0 {
                    let _ = region::announce(&f, random.odd(IOVA), random.odd(IOVA) as u32);
                }
            });
        });
        scope.spawn(|| {
            busy(13, &|random| {
                std::thread::sleep(std::time::Duration::from_millis(random.below(10)));
                let _ = f.unmap();
                std::thread::sleep(std::time::Duration::from_millis(random.below(3)));
                let _ = f.map();
            });
        });
    });
    drop(files);
    let _ = f.map();
    f.reset()?;
    let guest = Guest::announced(&f)?;
    let word = guest.gate(&f);
    f.memory
        .put(REGION + offset::GATE_WORD, &0u32.to_le_bytes());
    // Too soon after memory was unmapped no page can be pinned, which only costs time.
    let mut file = f.set_state(State::PreCopy)?.ok_or("no file")?;
    f.set_state(State::StopCopy)?;
    ensure!(read_all(&mut file).is_ok(), "no stream in the end");
    f.set_state(State::Running)?;
    println!("# gate word {word:#x} in the end");
    Ok(())
}
