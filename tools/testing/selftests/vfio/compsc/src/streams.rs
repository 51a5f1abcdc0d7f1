// SPDX-License-Identifier: GPL-2.0

//! Streams: from one function to another, cut, damaged, too long, and for other devices.

use crate::ensure;
use crate::ensure_eq;
use crate::ktap::Result;
use crate::ktap::Test;
use crate::states::read_all;
use crate::vfio::Function;
use crate::vfio::State;
use crate::vfio::IOVA;
use crate::Context;
use compsc_core::gate;
use compsc_core::region::offset;
use compsc_core::stream::DeviceState;
use compsc_core::stream::Identity;
use compsc_core::stream::Parser;
use compsc_core::stream::Writer;
use compsc_core::stream::HEADER_LEN;
use compsc_core::stream::MAX_STREAM;
use std::io::Write;
use vfio_states::region;
use vfio_states::region::Guest;
use vfio_states::region::Machine;
use vfio_states::region::REGION;

pub(crate) const TESTS: &[Test<Context>] = &[
    ("stream.move", move_guest),
    ("stream.move_unannounced", move_unannounced),
    ("stream.onward", onward),
    ("stream.closed_file", closed_file),
    ("stream.pieces", pieces),
    ("stream.truncated", truncated),
    ("stream.bit_flips", bit_flips),
    ("stream.other_device", other_device),
    ("stream.too_long", too_long),
    ("stream.random", random),
];

/// The 82576 VF's identity.
const VF: Identity = Identity {
    vendor: 0x8086,
    device: 0x10ca,
    chip: compsc_regs::chip::I82576,
    role: compsc_core::region::role::VF,
    max_queues: 2,
    abi: compsc_core::region::ABI_VERSION,
};

/// Checks a stream as the target does.
pub(crate) fn parse(stream: &[u8]) -> Result<DeviceState> {
    let mut buffer = vec![0; MAX_STREAM];
    let mut parser = Parser::new(&mut buffer, VF);
    parser.push(stream).map_err(|e| e.to_string())?;
    Ok(parser.finish().map_err(|e| e.to_string())?)
}

/// The stream of a function; its guest stays stopped.
fn save(function: &Function) -> Result<Vec<u8>> {
    let mut file = function.set_state(State::PreCopy)?.ok_or("no file")?;
    function.set_state(State::StopCopy)?;
    let stream = read_all(&mut file)?;
    parse(&stream)?;
    Ok(stream)
}

/// Writes a stream; `Err` says that it was refused, and where.
fn load(
    function: &Function,
    stream: &[u8],
    piece: usize,
) -> Result<std::result::Result<(), &'static str>> {
    let mut file = function.set_state(State::Resuming)?.ok_or("no file")?;
    for part in stream.chunks(piece.max(1)) {
        if file.write_all(part).is_err() {
            return Ok(Err("write"));
        }
    }
    if function.set_state(State::Stop).is_err() {
        ensure_eq!(function.state()?, State::Resuming, "state after a refusal");
        return Ok(Err("stop"));
    }
    Ok(Ok(()))
}

fn move_guest(c: &Context) -> Result {
    let source = Function::open(&c.source)?;
    let guest = Guest::announced(&source)?;
    let stream = save(&source)?;
    let state = parse(&stream)?;
    let place = state.region.ok_or("no region in the stream")?;
    ensure_eq!(place.iova, IOVA + REGION as u64, "region");
    ensure_eq!(place.len, guest.length(), "length");
    ensure_eq!(
        state.gate,
        Some(gate::LOCKED | gate::DUMMY_WRITES),
        "gate word"
    );
    ensure_eq!(state.counters.len(), region::COUNTERS.len(), "counters");
    // RAM moves as the VMM does it.
    let memory = source.memory.get(0, crate::vfio::MEMORY);
    drop(source);
    let target = Function::open(&c.target)?;
    target.memory.put(0, &memory);
    let mut events = target.events()?;
    ensure_eq!(load(&target, &stream, 7)?, Ok(()), "load");
    ensure!(
        region::is_accepted(&target)?,
        "the region did not come along"
    );
    ensure_eq!(
        target.memory.get(0, crate::vfio::MEMORY),
        memory,
        "memory before RUNNING"
    );
    target.set_bus_master(true)?;
    target.set_state(State::Running)?;
    let word = target.memory.u32(REGION + offset::GATE_WORD);
    ensure_eq!(word, 1 << gate::VERSION_SHIFT, "gate word on the target");
    std::thread::sleep(std::time::Duration::from_millis(20));
    let kick = &mut events[usize::from(region::KICK)];
    ensure!(
        std::io::Read::read(kick, &mut [0; 8]).is_ok(),
        "no kick on the target"
    );
    Ok(())
}

fn move_unannounced(c: &Context) -> Result {
    let source = Function::open(&c.source)?;
    let stream = save(&source)?;
    drop(source);
    let target = Function::open(&c.target)?;
    ensure_eq!(load(&target, &stream, 4096)?, Ok(()), "load");
    ensure!(!region::is_accepted(&target)?, "a region came from nowhere");
    target.set_state(State::Running)?;
    Ok(())
}

/// A guest that moves on before it ran on the target keeps everything.
fn onward(c: &Context) -> Result {
    let source = Function::open(&c.source)?;
    Guest::announced(&source)?;
    let stream = save(&source)?;
    let memory = source.memory.get(0, crate::vfio::MEMORY);
    drop(source);
    let target = Function::open(&c.target)?;
    target.memory.put(0, &memory);
    ensure_eq!(load(&target, &stream, 4096)?, Ok(()), "load");
    let mut file = target.set_state(State::StopCopy)?.ok_or("no file")?;
    ensure_eq!(read_all(&mut file)?, stream, "stream of the second move");
    Ok(())
}

/// QEMU closes the file while the function is still in RESUMING, if the guest is to start later.
fn closed_file(c: &Context) -> Result {
    let stream = announced_stream(c)?;
    let target = Function::open(&c.target)?;
    let mut file = target.set_state(State::Resuming)?.ok_or("no file")?;
    file.write_all(&stream)?;
    drop(file);
    target.set_state(State::Stop)?;
    ensure!(
        region::is_accepted(&target)?,
        "the region did not come along"
    );
    Ok(())
}

fn pieces(c: &Context) -> Result {
    let stream = announced_stream(c)?;
    for piece in [1, 2, 3, 23, 24, 25, 255, 256, 257, 4096] {
        let target = Function::open(&c.target)?;
        ensure_eq!(load(&target, &stream, piece)?, Ok(()), "pieces of {piece}");
        target.reset()?;
    }
    Ok(())
}

fn announced_stream(c: &Context) -> Result<Vec<u8>> {
    let source = Function::open(&c.source)?;
    Guest::announced(&source)?;
    save(&source)
}

/// Cuts are noticed.
fn truncated(c: &Context) -> Result {
    let stream = announced_stream(c)?;
    let target = Function::open(&c.target)?;
    let tried = sample(c, stream.len(), |len| {
        ensure!(
            load(&target, &stream[..len], 4096)?.is_err(),
            "{len} bytes were enough"
        );
        Ok(target.reset()?)
    })?;
    println!("# {tried} of {} lengths", stream.len());
    ensure_eq!(load(&target, &stream, 4096)?, Ok(()), "all of it");
    Ok(())
}

/// Flipped bits are noticed, those of the header at once.
fn bit_flips(c: &Context) -> Result {
    let stream = announced_stream(c)?;
    let target = Function::open(&c.target)?;
    let tried = sample(c, stream.len() * 8, |bit| {
        let mut damaged = stream.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let result = load(&target, &damaged, 4096)?;
        ensure!(result.is_err(), "bit {bit} was not noticed");
        // Fewer queues than the target has are compatible; the checksum tells later.
        if bit / 8 < HEADER_LEN && !(20..22).contains(&(bit / 8)) {
            ensure_eq!(result, Err("write"), "bit {bit} of the header");
        }
        Ok(target.reset()?)
    })?;
    println!("# {tried} of {} bits", stream.len() * 8);
    Ok(())
}

/// Calls `f` with each number below `count` in a scattered order, as long as there is time; each needs a
/// reset of the function. Returns how many there was time for.
fn sample(c: &Context, count: usize, mut f: impl FnMut(usize) -> Result) -> Result<usize> {
    let end = std::time::Instant::now() + c.time;
    // A prime that does not divide `count` reaches every number.
    let step = [7919, 7907]
        .into_iter()
        .find(|s| count % s != 0)
        .unwrap_or(1);
    for i in 0..count {
        if std::time::Instant::now() >= end {
            return Ok(i);
        }
        f(i * step % count)?;
    }
    Ok(count)
}

fn other_device(c: &Context) -> Result {
    let target = Function::open(&c.target)?;
    for other in [
        Identity {
            vendor: 0x10ec,
            ..VF
        },
        Identity {
            device: 0x10ed,
            ..VF
        },
        Identity {
            chip: compsc_regs::chip::I82599,
            ..VF
        },
        Identity {
            role: compsc_core::region::role::PF,
            ..VF
        },
        Identity {
            max_queues: 3,
            ..VF
        },
        Identity { abi: 2, ..VF },
    ] {
        let mut buffer = [0; 256];
        let writer = Writer::new(&mut buffer, &other).map_err(|e| e.to_string())?;
        let len = writer.end().map_err(|e| e.to_string())?;
        // The header alone is enough to refuse.
        ensure_eq!(
            load(&target, &buffer[..HEADER_LEN.min(len)], 4096)?,
            Err("write"),
            "{other:?}"
        );
        target.reset()?;
    }
    Ok(())
}

fn too_long(c: &Context) -> Result {
    let mut stream = announced_stream(c)?;
    stream.resize(HEADER_LEN, 0);
    // An optional record as long as a stream may be.
    stream.extend(5u16.to_le_bytes());
    stream.extend(0u16.to_le_bytes());
    stream.extend((1u32 << 20).to_le_bytes());
    stream.resize(MAX_STREAM + 1, 0);
    let target = Function::open(&c.target)?;
    ensure_eq!(load(&target, &stream, 4096)?, Err("write"), "too long");
    Ok(())
}

/// Random records behind a good header.
fn random(c: &Context) -> Result {
    let header = announced_stream(c)?[..HEADER_LEN].to_vec();
    let target = Function::open(&c.target)?;
    let mut random = vfio_states::random::Random::new(1);
    let end = std::time::Instant::now() + c.time;
    while std::time::Instant::now() < end {
        let mut stream = header.clone();
        for _ in 0..random.below(6) {
            let kind =
                [1, 2, 3, 4, 5, 0x7fff][random.below(6) as usize] | (random.below(2) as u16) << 15;
            let len = [0, 4, 8, 12, 16, 64, 1024][random.below(7) as usize];
            stream.extend(kind.to_le_bytes());
            stream.extend((random.below(2) as u16 & random.below(2) as u16).to_le_bytes());
            stream.extend((len as u32 + random.below(20) as u32 / 19).to_le_bytes());
            stream.extend((0..len).map(|_| random.below(256) as u8));
        }
        ensure!(
            load(&target, &stream, 100)?.is_err(),
            "accepted {stream:02x?}"
        );
        target.reset()?;
    }
    Ok(())
}
