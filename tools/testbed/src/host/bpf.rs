// SPDX-License-Identifier: GPL-2.0

//! Programs of XDP for tests: a few instructions by hand, which need no compiler, and bpf(2). Instructions as in
//! Documentation/bpf/standardization/instruction-set.rst of the kernel, numbers from its include/uapi/linux/bpf.h.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use nix::errno::Errno;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

/// What a program says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Verdict {
    /// The program failed.
    Aborted = 0,
    /// It is dropped.
    Drop = 1,
    /// The stack has it.
    Pass = 2,
    /// It goes back where it came from.
    Tx = 3,
    /// No verdict that there is.
    Invalid = 99,
}

/// Commands of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;

const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// The program takes frames of several buffers (`BPF_F_XDP_HAS_FRAGS`).
const HAS_FRAGS: u32 = 1 << 5;
/// In the driver, not before the stack (`XDP_FLAGS_DRV_MODE`).
const DRIVER_MODE: u32 = 1 << 2;
/// The function `bpf_redirect`.
const REDIRECT: i32 = 23;

/// One instruction.
type Instruction = [u8; 8];

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let (o, v) = (offset.to_le_bytes(), value.to_le_bytes());
    [code, to | from << 4, o[0], o[1], v[0], v[1], v[2], v[3]]
}

/// `to = value`.
const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, value)
}

/// `to = from`.
const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

/// `to += value`.
const fn add(to: u8, value: i32) -> Instruction {
    instruction(0x07, to, 0, 0, value)
}

/// `to += from`.
const fn add_register(to: u8, from: u8) -> Instruction {
    instruction(0x0f, to, from, 0, 0)
}

/// `to >>= bits`.
const fn shift_right(to: u8, bits: i32) -> Instruction {
    instruction(0x77, to, 0, 0, bits)
}

/// Sizes of loads and stores.
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const BYTE: u8 = 0x10;

/// `to = memory[from + offset]`.
const fn load(size: u8, to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61 | size, to, from, offset, 0)
}

/// `memory[to + offset] = from`.
const fn store(size: u8, to: u8, offset: i16, from: u8) -> Instruction {
    instruction(0x63 | size, to, from, offset, 0)
}

const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

/// Always this verdict.
pub fn always(verdict: Verdict) -> Vec<Instruction> {
    vec![set(0, verdict as i32), EXIT]
}

/// Sends all frames on by another interface of the same namespace.
pub fn redirect(ifindex: u32) -> Vec<Instruction> {
    vec![
        set(1, ifindex as i32),
        set(2, 0),
        instruction(0x85, 0, 0, 0, REDIRECT),
        EXIT,
    ]
}

/// Answers echo requests (IPv4, without options) in place, and passes everything else.
pub fn echo() -> Vec<Instruction> {
    // Offsets in the frame.
    const ETHER_TYPE: i16 = 12;
    const VERSION: i16 = 14;
    const PROTOCOL: i16 = 23;
    const SOURCE: i16 = 26;
    const DESTINATION: i16 = 30;
    const TYPE: i16 = 34;
    const CHECKSUM: i16 = 36;
    const END: i32 = 42;

    /// Stands for a jump to the end, by a test of register 5 (`!= value`) or of register 4 (`> register 3`).
    const UNLESS: u8 = 0x55;
    const BEYOND: u8 = 0x2d;
    let unless = |value| instruction(UNLESS, 5, 0, 0, value);
    let mut code = vec![
        load(WORD, 2, 1, 0),
        load(WORD, 3, 1, 4),
        copy(4, 2),
        add(4, END),
        instruction(BEYOND, 4, 3, 0, 0),
        load(HALF, 5, 2, ETHER_TYPE),
        unless(i32::from(0x0800u16.to_be())),
        load(BYTE, 5, 2, VERSION),
        unless(0x45),
        load(BYTE, 5, 2, PROTOCOL),
        unless(1),
        load(BYTE, 5, 2, TYPE),
        unless(8),
        // A type that is less by 8 is a checksum that is more by that, in one's complement.
        set(5, 0),
        store(BYTE, 2, TYPE, 5),
        load(HALF, 5, 2, CHECKSUM),
        add(5, i32::from(0x0800u16.to_be())),
        copy(0, 5),
        shift_right(0, 16),
        add_register(5, 0),
        store(HALF, 2, CHECKSUM, 5),
    ];
    let mut swap = |size, one, other| {
        code.extend([
            load(size, 5, 2, one),
            load(size, 0, 2, other),
            store(size, 2, one, 0),
            store(size, 2, other, 5),
        ]);
    };
    swap(WORD, SOURCE, DESTINATION);
    swap(WORD, 0, 6);
    swap(HALF, 4, 10);
    code.extend(always(Verdict::Tx));
    let end = code.len();
    for (at, jump) in code.iter_mut().enumerate() {
        if matches!(jump[0], UNLESS | BEYOND) {
            let distance = (end - at - 1) as i16;
            jump[2..4].copy_from_slice(&distance.to_le_bytes());
        }
    }
    code.extend(always(Verdict::Pass));
    code
}

/// The argument of bpf(2): the members that are used here, in the kernel's layouts, and zeros.
type Argument = [u64; 16];

/// Two members of 32 bits.
const fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// A descriptor as a member.
fn number(fd: &OwnedFd) -> u32 {
    // CAST: A descriptor is not negative.
    fd.as_raw_fd() as u32
}

fn bpf(command: libc::c_int, argument: &mut Argument) -> nix::Result<RawFd> {
    // SAFETY: The argument is as large as is said, and what its addresses stand for outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            argument.as_mut_ptr(),
            size_of::<Argument>(),
        )
    };
    // CAST: A descriptor.
    Errno::result(result).map(|fd| fd as RawFd)
}

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Hands instructions to the kernel; `fragments` tells that the program takes frames of several buffers.
    ///
    /// # Errors
    ///
    /// What the kernel has against the program.
    pub fn load(code: &[Instruction], fragments: bool) -> Result<Self> {
        let mut log = vec![0u8; 1 << 16];
        let flags = if fragments { HAS_FRAGS } else { 0 };
        let mut argument = Argument::default();
        argument[..6].copy_from_slice(&[
            pair(PROG_TYPE_XDP, u32::try_from(code.len())?),
            code.as_ptr() as u64,
            c"GPL".as_ptr() as u64,
            pair(1, u32::try_from(log.len())?),
            log.as_mut_ptr() as u64,
            pair(0, flags),
        ]);
        argument[8] = pair(0, ATTACH_XDP);
        let fd = bpf(PROG_LOAD, &mut argument).with_context(|| {
            let text = String::from_utf8_lossy(&log);
            text.trim_end_matches('\0').to_owned()
        })?;
        // SAFETY: The kernel has just given it to us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The number by which the kernel knows it.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn id(&self) -> Result<u32> {
        // Type and number.
        let mut info = [0u32; 2];
        let mut argument = Argument::default();
        argument[0] = pair(number(&self.0), size_of_val(&info).try_into()?);
        argument[1] = info.as_mut_ptr() as u64;
        bpf(OBJ_GET_INFO_BY_FD, &mut argument)?;
        Ok(info[1])
    }

    /// Attaches it in the driver of an interface of the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// If the driver does not take it.
    pub fn attach(&self, ifindex: u32) -> Result<Attached> {
        let mut argument = Argument::default();
        argument[0] = pair(number(&self.0), ifindex);
        argument[1] = pair(ATTACH_XDP, DRIVER_MODE);
        let fd = bpf(LINK_CREATE, &mut argument).context("the program cannot be attached")?;
        // SAFETY: The kernel has just given it to us.
        Ok(Attached(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// An attached program, which is taken off when this is dropped.
#[derive(Debug)]
pub struct Attached(#[expect(dead_code, reason = "held open")] OwnedFd);

/// Fails if a program is still loaded.
///
/// # Errors
///
/// If it is, or the kernel does not say.
pub fn gone(id: u32) -> Result<()> {
    let mut argument = Argument::default();
    argument[0] = pair(id, 0);
    match bpf(PROG_GET_FD_BY_ID, &mut argument) {
        Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
        Ok(fd) => {
            // SAFETY: The kernel has just given it to us.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            bail!("program {id} is still loaded")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_meet_the_end() {
        let code = echo();
        let jumps: Vec<usize> = code
            .iter()
            .enumerate()
            .filter(|(_, i)| matches!(i[0], 0x55 | 0x2d))
            .map(|(at, i)| at + 1 + usize::from(u16::from_le_bytes([i[2], i[3]])))
            .collect();
        assert_eq!(jumps, vec![code.len() - 2; 5]);
        assert_eq!(code[code.len() - 2], set(0, Verdict::Pass as i32));
    }

    #[test]
    fn members_are_in_order() {
        assert_eq!(pair(1, 2).to_ne_bytes(), {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&1u32.to_ne_bytes());
            bytes[4..].copy_from_slice(&2u32.to_ne_bytes());
            bytes
        });
    }
}
