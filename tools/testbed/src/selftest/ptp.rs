// SPDX-License-Identifier: GPL-2.0

//! A network device's clock and time stamps, as programs use them: `/dev/ptpN`, SIOCSHWTSTAMP, SO_TIMESTAMPING.
//!
//! What is measured comes as intervals: the system's clock is read before and after, so a machine that is busy makes
//! them wide and never wrong.

use super::net::Space;
use crate::host::in_namespace;
use crate::host::nic::PCI;
use crate::host::nic::wait_for;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use std::fs;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::mem::zeroed;
use std::os::fd::AsRawFd as _;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Ethernet type of PTP, and its UDP port of event messages.
pub(crate) const PTP_TYPE: u16 = 0x88f7;
/// As above.
pub(crate) const PTP_PORT: u16 = 319;

/// Filters of received packets (`enum hwtstamp_rx_filters`).
pub(crate) mod filter {
    /// None.
    pub(crate) const NONE: i32 = 0;
    /// All packets.
    pub(crate) const ALL: i32 = 1;
    /// Event messages of PTP version 1.
    pub(crate) const V1_EVENT: i32 = 3;
    /// Sync messages of version 1.
    pub(crate) const V1_SYNC: i32 = 4;
    /// Sync messages of version 2 over UDP.
    pub(crate) const V2_L4_SYNC: i32 = 7;
    /// Event messages of version 2.
    pub(crate) const V2_EVENT: i32 = 12;
}

/// The last result of a system call.
fn checked(result: i32, what: &str) -> Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error()).with_context(|| what.to_owned());
    }
    Ok(())
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ClockTime {
    sec: i64,
    nsec: u32,
    reserved: u32,
}

impl ClockTime {
    fn ns(self) -> i64 {
        self.sec * SECOND + i64::from(self.nsec)
    }
}

/// `struct ptp_sys_offset_extended`.
#[repr(C)]
struct SysOffset {
    samples: u32,
    clock: i32,
    reserved: [u32; 2],
    times: [[ClockTime; 3]; 25],
}

nix::ioctl_readwrite!(sys_offset_extended, b'=', 9, SysOffset);

/// A look at a clock, between two at the system's raw one. Nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// The raw clock before.
    pub(crate) before: i64,
    /// The clock.
    pub(crate) time: i64,
    /// The raw clock after.
    pub(crate) after: i64,
}

impl Look {
    /// The look that [`show_clock`] has printed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let numbers: Vec<i64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("no look at a clock: {text}"))?;
        let [before, time, after] = numbers[..] else {
            bail!("no look at a clock: {text}");
        };
        Ok(Self {
            before,
            time,
            after,
        })
    }

    /// How far the clock went from this look to a later one, for each nanosecond of the raw clock: at least and at most.
    pub(crate) fn rate(self, later: Self) -> (f64, f64) {
        let went = (later.time - self.time) as f64;
        (
            went / (later.after - self.before) as f64,
            went / (later.before - self.after) as f64,
        )
    }

    /// How much farther the clock went than the raw clock times `rate`: at least and at most.
    pub(crate) fn gained(self, later: Self, rate: f64) -> (i64, i64) {
        let went = later.time - self.time;
        let scaled = |raw: i64| (raw as f64 * rate) as i64;
        (
            went - scaled(later.after - self.before),
            went - scaled(later.before - self.after),
        )
    }
}

/// Fails unless an interval holds a value, give or take `margin`. Sharp looks keep it narrow.
pub(crate) fn holds(what: &str, (low, high): (i64, i64), value: i64, margin: i64) -> Result<()> {
    if value < low - margin || value > high + margin {
        bail!("{what} is between {low} and {high} ns and should be {value}");
    }
    Ok(())
}

/// A hardware clock.
pub(crate) struct Phc(File);

impl Phc {
    /// The clock of the device at a PCI address.
    pub(crate) fn open(address: &str) -> Result<Self> {
        Self::of(&Path::new(PCI).join(address))
    }

    /// The clock of a device by its folder in sysfs.
    fn of(device: &Path) -> Result<Self> {
        let entry = fs::read_dir(device.join("ptp"))
            .with_context(|| format!("{} has no clock", device.display()))?
            .next()
            .context("no clock")??;
        let path = Path::new("/dev").join(entry.file_name());
        let file = wait_for(Duration::from_secs(5), "the clock's device", || {
            File::options().read(true).write(true).open(&path).ok()
        })?;
        Ok(Self(file))
    }

    fn id(&self) -> libc::clockid_t {
        !self.0.as_raw_fd() << 3 | 3
    }

    /// The narrowest of some looks.
    pub(crate) fn look(&self) -> Result<Look> {
        let mut offset = SysOffset {
            samples: 10,
            clock: libc::CLOCK_MONOTONIC_RAW,
            reserved: [0; 2],
            times: [[ClockTime::default(); 3]; 25],
        };
        // SAFETY: The kernel fills the structure that it expects.
        unsafe { sys_offset_extended(self.0.as_raw_fd(), &mut offset) }
            .context("PTP_SYS_OFFSET_EXTENDED")?;
        let looks = offset.times[..10].iter().map(|[before, time, after]| Look {
            before: before.ns(),
            time: time.ns(),
            after: after.ns(),
        });
        looks
            .min_by_key(|look| look.after - look.before)
            .context("no looks")
    }

    /// As [`look`](Self::look), narrower than `window` nanoseconds.
    pub(crate) fn sharp_look(&self, window: i64) -> Result<Look> {
        wait_for(Duration::from_secs(60), "a quiet moment", || {
            let look = self.look().ok()?;
            (look.after - look.before < window).then_some(look)
        })
    }

    /// The clock, without any look at another one.
    pub(crate) fn time(&self) -> Result<i64> {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: The structure is writable.
        let result = unsafe { libc::clock_gettime(self.id(), &mut time) };
        checked(result, "clock_gettime")?;
        Ok(time.tv_sec * SECOND + time.tv_nsec)
    }

    /// Sets the clock.
    pub(crate) fn set(&self, ns: i64) -> Result<()> {
        let time = libc::timespec {
            tv_sec: ns / SECOND,
            tv_nsec: ns % SECOND,
        };
        // SAFETY: The structure is valid.
        let result = unsafe { libc::clock_settime(self.id(), &time) };
        checked(result, "clock_settime")
    }

    /// Adds to the clock.
    pub(crate) fn adjust(&self, ns: i64) -> Result<()> {
        // SAFETY: All zero is a valid value.
        let mut change: libc::timex = unsafe { zeroed() };
        change.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        change.time.tv_sec = ns.div_euclid(SECOND);
        change.time.tv_usec = ns.rem_euclid(SECOND);
        self.change(&mut change)
    }

    /// Sets the frequency, off by so many parts per million.
    pub(crate) fn tune(&self, ppm: i64) -> Result<()> {
        // SAFETY: As above.
        let mut change: libc::timex = unsafe { zeroed() };
        change.modes = libc::ADJ_FREQUENCY;
        change.freq = ppm << 16;
        self.change(&mut change)
    }

    fn change(&self, change: &mut libc::timex) -> Result<()> {
        // SAFETY: The structure is valid.
        let result = unsafe { libc::clock_adjtime(self.id(), change) };
        checked(result, "clock_adjtime")
    }

    /// How fast the clock is, as an interval narrower than `width`.
    pub(crate) fn rate(&self, width: f64) -> Result<(f64, f64)> {
        let first = self.look()?;
        let begin = Instant::now();
        loop {
            thread::sleep(Duration::from_millis(200));
            let (low, high) = first.rate(self.look()?);
            if high - low < width {
                return Ok((low, high));
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("the clock's rate is somewhere between {low} and {high}");
            }
        }
    }
}

/// Options of `testbed clock`.
#[derive(Args, Debug)]
pub struct ClockArgs {
    /// Network interface.
    interface: String,
}

/// Prints a look at the clock of an interface, in nanoseconds: the system's raw clock, the clock, and the raw clock again.
///
/// # Errors
///
/// If the interface has none.
pub fn show_clock(args: &ClockArgs) -> Result<()> {
    let device = Path::new("/sys/class/net")
        .join(&args.interface)
        .join("device");
    let look = Phc::of(&device)?.look()?;
    println!("{} {} {}", look.before, look.time, look.after);
    Ok(())
}

/// `struct hwtstamp_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct StampConfig {
    flags: i32,
    tx_type: i32,
    rx_filter: i32,
}

/// `struct ifreq` with a pointer.
#[repr(C)]
struct Request {
    name: [u8; 16],
    data: *mut StampConfig,
    rest: [u64; 2],
}

fn stamp_config(
    space: Space,
    interface: &str,
    command: libc::c_ulong,
    config: StampConfig,
) -> Result<(i32, i32)> {
    let mut config = config;
    within(space, || {
        let mut name = [0; 16];
        name[..interface.len()].copy_from_slice(interface.as_bytes());
        let request = Request {
            name,
            data: &mut config,
            rest: [0; 2],
        };
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        // SAFETY: The kernel reads and writes the structures that it expects.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), command as _, &request) };
        checked(result, "SIOCSHWTSTAMP")
    })?;
    Ok((config.tx_type, config.rx_filter))
}

/// Asks for stamps of sent packets (`tx`) and of received ones. Returns what is given.
pub(crate) fn set_stamping(space: Space, interface: &str, tx: i32, rx: i32) -> Result<(i32, i32)> {
    let config = StampConfig {
        flags: 0,
        tx_type: tx,
        rx_filter: rx,
    };
    stamp_config(space, interface, 0x89b0, config)
}

/// What is given now.
pub(crate) fn stamping(space: Space, interface: &str) -> Result<(i32, i32)> {
    stamp_config(space, interface, 0x89b1, StampConfig::default())
}

/// Whether a request was refused with this error.
pub(crate) fn refused<T>(result: &Result<T>, error: i32) -> bool {
    result
        .as_ref()
        .err()
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.raw_os_error() == Some(error))
}

fn within<T: Send>(space: Space, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    match space.0 {
        Some(name) => in_namespace(name, work),
        None => work(),
    }
}

/// Stamps of a packet: nanoseconds of the time of day, and of the hardware's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// By software.
    pub(crate) software: Option<i64>,
    /// By the hardware.
    pub(crate) hardware: Option<i64>,
}

/// A socket whose packets are stamped.
pub(crate) struct StampSocket(OwnedFd);

impl StampSocket {
    /// All kinds of stamps, one report for each; those of sent packets without the packet.
    const FLAGS: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 11 | 1 << 14;

    fn stamped(socket: OwnedFd) -> Result<Self> {
        let flags = Self::FLAGS;
        // SAFETY: The option's value is a number.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPING,
                (&raw const flags).cast(),
                size_of::<u32>() as libc::socklen_t,
            )
        };
        checked(result, "SO_TIMESTAMPING")?;
        Ok(Self(socket))
    }

    /// A socket for frames of PTP over Ethernet.
    pub(crate) fn ethernet(space: Space, interface: &str) -> Result<Self> {
        let index: i32 = space.attribute(interface, "ifindex")?.parse()?;
        within(space, || {
            // SAFETY: Makes a socket, which is owned from here on.
            let socket = unsafe {
                let raw = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, PTP_TYPE.to_be().into());
                checked(raw, "a packet socket")?;
                OwnedFd::from_raw_fd(raw)
            };
            // SAFETY: All zero is a valid value.
            let mut address: libc::sockaddr_ll = unsafe { zeroed() };
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = PTP_TYPE.to_be();
            address.sll_ifindex = index;
            // SAFETY: The address is one of this family.
            let result = unsafe {
                libc::bind(
                    socket.as_raw_fd(),
                    (&raw const address).cast(),
                    size_of::<libc::sockaddr_ll>() as libc::socklen_t,
                )
            };
            checked(result, "bind")?;
            Self::stamped(socket)
        })
    }

    /// A socket for PTP's event messages over UDP, between two addresses.
    pub(crate) fn udp(space: Space, from: &str, to: &str) -> Result<Self> {
        within(space, || {
            let socket = std::net::UdpSocket::bind((from, PTP_PORT))?;
            socket.connect((to, PTP_PORT))?;
            Self::stamped(socket.into())
        })
    }

    /// Sends.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<()> {
        // SAFETY: The bytes are valid.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        checked(sent as i32, "send")
    }

    /// The next packet, with its stamps; `flags` say of which queue. `None` if nothing comes in time.
    fn take(&self, flags: i32, patience: Duration) -> Result<Option<(Vec<u8>, Stamp)>> {
        let events = if flags & libc::MSG_ERRQUEUE != 0 {
            // An error is told whether it is asked for or not.
            0
        } else {
            libc::POLLIN
        };
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events,
            revents: 0,
        };
        // SAFETY: One entry is valid.
        let result = unsafe { libc::poll(&mut poll, 1, patience.as_millis() as i32) };
        checked(result, "poll")?;
        if poll.revents == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0u8; 2048];
        let mut control = [0u64; 64];
        let mut vector = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: All zero is a valid value.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: The message points to memory that stays.
        let got =
            unsafe { libc::recvmsg(self.0.as_raw_fd(), &mut message, flags | libc::MSG_DONTWAIT) };
        if got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
            return Ok(None);
        }
        checked(got as i32, "recvmsg")?;
        bytes.truncate(got as usize);
        let mut stamp = Stamp {
            software: None,
            hardware: None,
        };
        // SAFETY: The kernel has filled in the control messages, and the macros stay inside them.
        unsafe {
            let mut header = libc::CMSG_FIRSTHDR(&message);
            while !header.is_null() {
                if (*header).cmsg_level == libc::SOL_SOCKET
                    && (*header).cmsg_type == libc::SO_TIMESTAMPING
                {
                    let times = libc::CMSG_DATA(header)
                        .cast::<[libc::timespec; 3]>()
                        .read_unaligned();
                    let ns = |time: libc::timespec| {
                        let ns = time.tv_sec * SECOND + time.tv_nsec;
                        (ns != 0).then_some(ns)
                    };
                    stamp.software = ns(times[0]).or(stamp.software);
                    stamp.hardware = ns(times[2]).or(stamp.hardware);
                }
                header = libc::CMSG_NXTHDR(&message, header);
            }
        }
        Ok(Some((bytes, stamp)))
    }

    /// The next received packet.
    pub(crate) fn receive(&self, patience: Duration) -> Result<Option<(Vec<u8>, Stamp)>> {
        let begin = Instant::now();
        while let Some(left) = patience.checked_sub(begin.elapsed()) {
            if let Some(received) = self.take(0, left)? {
                return Ok(Some(received));
            }
            // What is told of sent packets ends a wait as well.
            while self.take(libc::MSG_ERRQUEUE, Duration::ZERO)?.is_some() {}
        }
        Ok(None)
    }

    /// The stamps of a packet, when it comes in time; others are passed over.
    pub(crate) fn await_packet(&self, packet: &[u8], patience: Duration) -> Result<Stamp> {
        let begin = Instant::now();
        let mut others = 0;
        while let Some(left) = patience.checked_sub(begin.elapsed()) {
            match self.receive(left)? {
                Some((got, stamp)) if got.get(..packet.len()) == Some(packet) => {
                    return Ok(stamp);
                }
                Some(_) => others += 1,
                None => {}
            }
        }
        bail!("a packet did not come, {others} others did")
    }

    /// Stamps of the packet sent last: all that come until the hardware's, in time.
    pub(crate) fn sent(&self, patience: Duration) -> Result<Stamp> {
        let begin = Instant::now();
        let mut stamps = Stamp {
            software: None,
            hardware: None,
        };
        while let Some(left) = patience.checked_sub(begin.elapsed()) {
            let Some((_, stamp)) = self.take(libc::MSG_ERRQUEUE, left)? else {
                continue;
            };
            stamps.software = stamps.software.or(stamp.software);
            stamps.hardware = stamps.hardware.or(stamp.hardware);
            if stamps.hardware.is_some() {
                break;
            }
        }
        Ok(stamps)
    }
}

/// A Sync message of PTP version 2.
pub(crate) fn sync(sequence: u16) -> Vec<u8> {
    let mut message = vec![0; 46];
    message[1] = 2;
    message[3] = 44;
    message[20..28].copy_from_slice(&[2, 0, 0, 0xff, 0xfe, 0, 0, 1]);
    message[30..32].copy_from_slice(&sequence.to_be_bytes());
    message
}

/// A frame of that kind, from one address to another.
pub(crate) fn sync_frame(from: &str, to: &str, sequence: u16) -> Result<Vec<u8>> {
    let mac = |text: &str| -> Result<Vec<u8>> {
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
        Ok(bytes.collect::<Result<_, _>>()?)
    };
    Ok([
        mac(to)?,
        mac(from)?,
        PTP_TYPE.to_be_bytes().to_vec(),
        sync(sequence),
    ]
    .concat())
}
