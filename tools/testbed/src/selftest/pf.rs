// SPDX-License-Identifier: GPL-2.0

//! The PF driver on an adapter of this machine, with another adapter on the same cable: traffic, settings, restores,
//! virtual functions, and what a hostile one can do.

use super::Ktap;
use super::net::Flow;
use super::net::Space;
use super::net::clean_log;
use super::net::monotonic;
use super::net::same;
use super::ptp;
use super::ptp::Look;
use super::ptp::Phc;
use super::ptp::Stamp;
use super::ptp::StampSocket;
use super::ptp::filter;
use super::ptp::holds;
use super::xdp::Subject;
use crate::host::dmesg;
use crate::host::in_namespace;
use crate::host::nic;
use crate::host::nic::Function;
use crate::host::nic::HostDriver;
use crate::host::nic::PCI;
use crate::host::nic::insmod;
use crate::host::nic::modprobe;
use crate::host::nic::wait_for;
use crate::host::run;
use crate::host::write_sysfs;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use socket2::SockFilter;
use socket2::Socket;
use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use vfio_states::random::Random;

/// The machine's own namespace, where the PF is.
const HOME: Space = Space(None);
const PF_ADDRESS: &str = "10.76.0.1";
const PEER_ADDRESS: &str = "10.76.0.2";
/// Namespaces of two virtual functions: one with our driver, one with the distribution's.
const VF_NAMES: [&str; 2] = ["pf-ours", "pf-stock"];
const VF_ADDRESSES: [&str; 2] = ["10.76.0.10", "10.76.0.11"];
const VF_MACS: [&str; 2] = ["02:76:00:00:00:10", "02:76:00:00:00:11"];
const VF_DRIVERS: [&str; 2] = ["igbvf_compsc", "igbvf"];

/// Milliseconds for a link to be negotiated in the emulator, with room.
const LINK: Duration = Duration::from_millis(1200);
/// Time after which the distribution's igbvf has noticed a reset of the PF for certain.
const STOCK_PATIENCE: Duration = Duration::from_secs(30);

/// Options of `testbed selftest-pf`.
#[derive(Args, Debug)]
pub struct PfArgs {
    /// Run only the cases whose names contain this.
    #[arg(long, env = "COMPSC_ONLY", value_name = "WORDS")]
    only: Option<String>,
    /// Folder with compsc.ko, igb_compsc.ko and igbvf_compsc.ko.
    #[arg(long, env = "COMPSC_MODULES")]
    modules: PathBuf,
    /// Restores by the debugfs trigger, and half as many function-level resets, under traffic.
    #[arg(long, default_value_t = 4)]
    restores: u32,
    /// How many times as long as usual this kernel may take.
    #[arg(long, env = "COMPSC_SLOWDOWN", default_value_t = 1, value_name = "N")]
    slowdown: u32,
}

/// What the kernel says when all devices below a port work again after an error.
const RECOVERED: &str = "device recovery successful";
/// Errors of a function on the bus: one that is not fatal (completion timeout), and one that is (data link protocol).
const BUS_ERRORS: [u32; 2] = [1 << 14, 1 << 4];

struct Bench {
    slowdown: u32,
    device: PathBuf,
    address: String,
    interface: String,
    peer: Space,
    peer_interface: String,
    debugfs: PathBuf,
}

impl Bench {
    fn set_up(args: &PfArgs, ours: &str, other: &str) -> Result<Self> {
        for driver in [HostDriver::Compsc, HostDriver::Igb] {
            driver.load(&args.modules)?;
        }
        nic::bind(ours, HostDriver::Compsc.module())?;
        nic::bind(other, HostDriver::Igb.module())?;
        let device = Path::new(PCI).join(ours);
        let peer_interface = nic::interface(other)?;
        let peer = Space::make("pf-peer")?;
        peer.take(&peer_interface)?;
        let bench = Self {
            slowdown: args.slowdown,
            interface: nic::interface(ours)?,
            debugfs: Path::new("/sys/kernel/debug/compsc").join(ours),
            address: ours.to_owned(),
            device,
            peer,
            peer_interface,
        };
        HOME.up(&bench.interface, &format!("{PF_ADDRESS}/24"))?;
        peer.up(&bench.peer_interface, &format!("{PEER_ADDRESS}/24"))?;
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))
            .context("are both adapters on one cable?")?;
        Ok(bench)
    }

    fn ethtool(&self, arguments: &[&str]) -> Result<String> {
        let (first, rest) = arguments.split_at(arguments.len().min(1));
        let all = [first, &[self.interface.as_str()], rest].concat();
        HOME.run("ethtool", &all)
    }

    fn ping(&self, count: u32) -> Result<()> {
        HOME.ping(PEER_ADDRESS, count, 56)
    }

    fn carrier_changes(&self) -> Result<String> {
        HOME.attribute(&self.interface, "carrier_changes")
    }

    /// Reports an error of the function to the kernel, as its root port would, and waits for the recovery.
    fn bus_error(&self, kind: u32) -> Result<()> {
        let number = |part: &str| u8::from_str_radix(part, 16);
        let [domain, bus, slot] = self.address.split(':').collect::<Vec<_>>()[..] else {
            bail!("{} is no address on a PCI bus", self.address);
        };
        let (slot, function) = slot.split_once('.').context("no function number")?;
        // struct aer_error_inj of the kernel's drivers/pci/pcie/aer_inject.c.
        let mut message = vec![number(bus)?, number(slot)?, number(function)?, 0];
        let words = [kind, 0, 0, 0, 0, 0, u32::from_str_radix(domain, 16)?];
        message.extend(words.into_iter().flat_map(u32::to_ne_bytes));
        modprobe("aer_inject", &[])?;
        let recovered = || Ok::<_, anyhow::Error>(dmesg()?.matches(RECOVERED).count());
        let before = recovered()?;
        fs::write("/dev/aer_inject", message).context("cannot report an error")?;
        wait_for(Duration::from_secs(30), "recovery from a bus error", || {
            (recovered().ok()? > before).then_some(())
        })
    }

    fn set_vfs(&self, count: usize) -> Result<()> {
        write_sysfs(&self.device.join("sriov_numvfs"), &count.to_string())
    }

    fn function(&self, index: usize) -> Result<Function> {
        let link = fs::read_link(self.device.join(format!("virtfn{index}")))?;
        let name = link.file_name().unwrap_or_default();
        Ok(Function {
            address: name.to_string_lossy().into_owned(),
            index,
        })
    }

    fn set_vf(&self, vf: usize, what: &[&str]) -> Result<()> {
        let vf = vf.to_string();
        let mut all = vec!["link", "set", &self.interface, "vf", &vf];
        all.extend_from_slice(what);
        run("ip", &all).map(|_| ())
    }

    /// What `ip -s link show` says of a virtual function.
    fn shown_vf(&self, vf: usize) -> Result<Value> {
        let text = run("ip", &["-s", "-j", "link", "show", &self.interface])?;
        let all: Value = serde_json::from_str(&text)?;
        Ok(all[0]["vfinfo_list"][vf].clone())
    }

    /// The link is negotiated anew after a reset.
    fn answer_after_reset(&self) -> Result<()> {
        thread::sleep(LINK);
        HOME.answer(PEER_ADDRESS, Duration::from_secs(5))
    }

    fn restore(&self) -> Result<()> {
        write_sysfs(&self.debugfs.join("replay"), "1")
    }

    /// How often the driver has restored the device.
    fn restores(&self) -> Result<u64> {
        let status = std::fs::read_to_string(self.debugfs.join("status"))?;
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("restores "));
        Ok(count.context("no count of restores")?.trim().parse()?)
    }

    /// Does something `count` times under traffic: no carrier change, no answer twice, no counter that goes back, and no
    /// more answers lost than `lost` each time.
    fn under_traffic(&self, count: u32, lost: u64, each: impl Fn(u32) -> Result<()>) -> Result<()> {
        let (before, carrier) = (HOME.statistics(&self.interface)?, self.carrier_changes()?);
        let flow = Flow::start(HOME, PEER_ADDRESS)?;
        for i in 0..count {
            each(i).with_context(|| format!("time {}", i + 1))?;
        }
        let (sent, received, duplicates) = flow.stop()?;
        monotonic(&before, &HOME.statistics(&self.interface)?)?;
        same("carrier changes", &carrier, &self.carrier_changes()?)?;
        if duplicates != 0 {
            bail!("{duplicates} answers came twice");
        }
        if sent == 0 || received + lost * u64::from(count * self.slowdown) < sent {
            bail!("{received} of {sent} requests answered");
        }
        self.ping(5)
    }
}

/// Two virtual functions with drivers, each in a namespace of its own.
struct Vfs {
    spaces: [Space; 2],
    interfaces: [String; 2],
    functions: [Function; 2],
}

impl Vfs {
    fn set_up(b: &Bench, args: &PfArgs) -> Result<Self> {
        insmod(&args.modules.join("igbvf_compsc.ko"))?;
        modprobe("igbvf", &[])?;
        write_sysfs(&b.device.join("sriov_drivers_autoprobe"), "0")?;
        b.set_vfs(2)?;
        let functions = [b.function(0)?, b.function(1)?];
        let mut interfaces = [String::new(), String::new()];
        let mut spaces = [HOME; 2];
        for i in 0..2 {
            b.set_vf(i, &["mac", VF_MACS[i]])?;
            functions[i].bind(VF_DRIVERS[i])?;
            interfaces[i] = nic::interface(&functions[i].address)?;
            spaces[i] = Space::make(VF_NAMES[i])?;
            spaces[i].take(&interfaces[i])?;
            spaces[i].up(&interfaces[i], &format!("{}/24", VF_ADDRESSES[i]))?;
            same(
                "the MAC address",
                &VF_MACS[i].to_owned(),
                &spaces[i].attribute(&interfaces[i], "address")?,
            )?;
        }
        Ok(Self {
            spaces,
            interfaces,
            functions,
        })
    }

    /// Each reaches each: the other function, the PF, and the peer on the cable.
    fn reach(&self, patience: Duration) -> Result<()> {
        for (i, space) in self.spaces.iter().enumerate() {
            for target in [PEER_ADDRESS, PF_ADDRESS, VF_ADDRESSES[1 - i]] {
                space
                    .answer(target, patience)
                    .and_then(|()| space.ping(target, 10, 1472))
                    .with_context(|| format!("{} to {target}", VF_DRIVERS[i]))?;
            }
        }
        Ok(())
    }

    /// Does something twice under traffic of both functions: ours sends on soon and its counters do not go back, the
    /// other comes back when its driver has noticed, and no answer comes twice.
    fn under_traffic(&self, each: impl Fn() -> Result<()>) -> Result<()> {
        let [ours, theirs] = self.spaces;
        let before = ours.statistics(&self.interfaces[0])?;
        let flows = [
            Flow::start(ours, PEER_ADDRESS)?,
            Flow::start(theirs, PEER_ADDRESS)?,
        ];
        for _ in 0..2 {
            each()?;
            ours.answer(PEER_ADDRESS, Duration::from_secs(5))
                .context("with our driver")?;
            theirs
                .answer(PEER_ADDRESS, STOCK_PATIENCE)
                .context("with the distribution's driver")?;
        }
        for (flow, driver) in flows.into_iter().zip(VF_DRIVERS) {
            let (sent, received, duplicates) = flow.stop()?;
            if received == 0 || duplicates != 0 {
                bail!("{driver}: {sent} requests, {received} answers, {duplicates} duplicates");
            }
        }
        monotonic(&before, &ours.statistics(&self.interfaces[0])?)?;
        self.reach(STOCK_PATIENCE)
    }

    fn tear_down(&self, b: &Bench) -> Result<()> {
        for name in VF_NAMES {
            run("ip", &["netns", "del", name])?;
        }
        b.set_vfs(0)
    }
}

/// Suspends all devices of the machine and resumes them five seconds later: the platform has no part in it.
fn suspend() -> Result<()> {
    fs::write("/sys/power/pm_test", "platform").context("this kernel has no test of suspend")?;
    let result = write_sysfs(Path::new("/sys/power/state"), "mem");
    fs::write("/sys/power/pm_test", "none")?;
    result
}

/// The mailbox of a function without a driver, by its registers in sysfs.
struct RawMailbox(std::ptr::NonNull<u32>);

impl RawMailbox {
    const MEMORY: usize = 0x800 / 4;
    const CONTROL: usize = 0xc40 / 4;
    const LENGTH: usize = 0x4000;

    fn open(function: &Function) -> Result<Self> {
        use nix::sys::mman::MapFlags;
        use nix::sys::mman::ProtFlags;
        let device = Path::new(PCI).join(&function.address);
        write_sysfs(&device.join("enable"), "1")?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(device.join("resource0"))?;
        let length = NonZero::new(Self::LENGTH).context("no length")?;
        // SAFETY: A new shared mapping of a file.
        let start = unsafe {
            nix::sys::mman::mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &file,
                0,
            )
        }
        .context("cannot map the function's registers")?;
        Ok(Self(start.cast()))
    }

    fn write(&self, register: usize, value: u32) {
        assert!(register < Self::LENGTH / 4);
        // SAFETY: Inside the mapping; a register may be written at any time.
        unsafe { self.0.as_ptr().add(register).write_volatile(value) };
    }

    fn read(&self, register: usize) -> u32 {
        assert!(register < Self::LENGTH / 4);
        // SAFETY: As above.
        unsafe { self.0.as_ptr().add(register).read_volatile() }
    }

    /// Sends a message as a driver would. Returns the first word of the answer, if one comes.
    fn ask(&self, words: &[u32]) -> Option<u32> {
        // Forgets what was answered before.
        self.read(Self::CONTROL);
        self.write(Self::CONTROL, 1 << 2);
        for (i, word) in words.iter().enumerate() {
            self.write(Self::MEMORY + i, *word);
        }
        self.write(Self::CONTROL, 1 << 0);
        wait_for(Duration::from_millis(300), "an answer", || {
            (self.read(Self::CONTROL) & 1 << 4 != 0).then_some(())
        })
        .ok()?;
        let first = self.read(Self::MEMORY);
        self.write(Self::CONTROL, 1 << 1);
        Some(first)
    }
}

impl Drop for RawMailbox {
    fn drop(&mut self) {
        // SAFETY: The mapping was made by `open` and is not used any more.
        let _ = unsafe { nix::sys::mman::munmap(self.0.cast(), Self::LENGTH) };
    }
}

/// Floods the PF with messages of all kinds, and keeps and steals the buffer, for some time.
fn flood(mailbox: &RawMailbox, seed: u64, time: Duration) -> u64 {
    let mut random = Random::new(seed);
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < time {
        for _ in 0..random.below(64) {
            // CAST: The low halves.
            let mut word = || random.odd(0x1000) as u32;
            mailbox.write(RawMailbox::MEMORY, word() & 0xff0f);
            for i in 1..16 {
                mailbox.write(RawMailbox::MEMORY + i, word());
            }
            let kind = random.below(10) as u32 | (random.below(256) as u32) << 16;
            mailbox.write(RawMailbox::MEMORY, kind);
            // Rings, acknowledges, and takes the buffer without giving it back.
            mailbox.write(RawMailbox::CONTROL, random.below(8) as u32 | 1);
            messages += 1;
        }
        if random.below(8) == 0 {
            // Resets itself while the PF is busy with it.
            mailbox.write(0, 1 << 26);
        }
    }
    mailbox.write(RawMailbox::CONTROL, 0);
    messages
}

/// Runs the test program.
pub fn run_all(args: &PfArgs) -> ExitCode {
    let found = nic::adapters().unwrap_or_default();
    let [ours, other, ..] = found.as_slice() else {
        return super::skip("two 82576 on one cable are needed");
    };
    let mut ktap = Ktap::start(args.only.as_deref());
    let mut bench = None;
    ktap.case("binds to an adapter and has a link", || {
        bench = Some(Bench::set_up(args, ours, other)?);
        Ok(())
    });
    let Some(bench) = bench else {
        return ktap.finish();
    };
    let b = &bench;
    ktap.case("tells devlink what it is", || describes_itself(b));
    // Here, because the kernel warns of a hang.
    ktap.case("recovers from a transmit hang (devlink health)", || hang(b));
    let marks = dmesg().map(|text| text.len()).unwrap_or(0);
    netdev(&mut ktap, b, args);
    clock(&mut ktap, b);
    sriov(&mut ktap, b, args);
    ktap.case("unbinds and unloads", || {
        run("rmmod", &["igbvf_compsc", "igb_compsc", "compsc"])?;
        run("ip", &["netns", "del", "pf-peer"]).map(|_| ())
    });
    ktap.case("leaves no warning in the kernel log", || {
        clean_log(&dmesg()?, marks)
    });
    ktap.leaks();
    ktap.finish()
}

fn netdev(ktap: &mut Ktap, b: &Bench, args: &PfArgs) {
    let stream =
        |megabytes, streams, back| HOME.stream(b.peer, PEER_ADDRESS, megabytes, streams, back);
    ktap.case("answers 100 of 100 echo requests", || b.ping(100));
    ktap.case("sends and receives TCP streams", || {
        stream(30, 1, false)?;
        stream(30, 1, true)?;
        let stats = HOME.statistics(&b.interface)?;
        for name in ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"] {
            if stats[name] == 0 {
                bail!("{name} is 0 after two streams");
            }
        }
        Ok(())
    });
    ktap.case("distributes flows over queues (ethtool -L, -X)", || {
        b.ethtool(&["-L", "combined", "8"])?;
        let queues = || -> Result<Vec<u64>> {
            let stats = HOME.statistics(&b.interface)?;
            Ok((0..8)
                .map(|i| stats[&format!("queue_{i}_rx_packets")])
                .collect())
        };
        let used = |before: &[u64], after: &[u64]| -> Vec<usize> {
            (0..8).filter(|i| after[*i] > before[*i] + 50).collect()
        };
        let before = queues()?;
        stream(24, 8, true)?;
        let spread = used(&before, &queues()?);
        if spread.len() < 3 {
            bail!("8 flows came by queues {spread:?} only");
        }
        b.ethtool(&["-X", "equal", "2"])?;
        let before = queues()?;
        stream(24, 8, true)?;
        let spread = used(&before, &queues()?);
        if spread.iter().any(|queue| *queue > 1) {
            bail!("queues 0 and 1 were to be used, {spread:?} were");
        }
        b.ethtool(&["-X", "default"])?;
        Ok(())
    });
    ktap.case("gives packets the hash of their flow (ethtool -K)", || {
        let result = hashes(b);
        b.ethtool(&["-K", "rxhash", "on"])?;
        result
    });
    ktap.case("changes rings and channels under traffic", || {
        b.under_traffic(6, 20, |i| {
            let (size, pairs) = [("512", "1"), ("1024", "8"), ("256", "4")][i as usize % 3];
            b.ethtool(&["-G", "rx", size, "tx", size])?;
            b.ethtool(&["-L", "combined", pairs])?;
            thread::sleep(Duration::from_millis(200));
            Ok(())
        })
    });
    ktap.case("takes frames of 9000 bytes and VLANs", || {
        let mtu = |space: Space, interface: &str, mtu: &str| {
            space
                .run("ip", &["link", "set", interface, "mtu", mtu])
                .map(|_| ())
        };
        mtu(HOME, &b.interface, "9000")?;
        mtu(b.peer, &b.peer_interface, "9000")?;
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))?;
        HOME.ping(PEER_ADDRESS, 5, 8900)?;
        stream(20, 1, true)?;
        for (space, interface, address) in [
            (HOME, &b.interface, "10.77.0.1/24"),
            (b.peer, &b.peer_interface, "10.77.0.2/24"),
        ] {
            space.add_link(interface, "v77", &["type", "vlan", "id", "77"])?;
            space.up("v77", address)?;
        }
        HOME.answer("10.77.0.2", Duration::from_secs(5))?;
        HOME.ping("10.77.0.2", 5, 8900)?;
        b.restore()?;
        thread::sleep(LINK);
        HOME.ping("10.77.0.2", 5, 8900).context("after a restore")?;
        for (space, interface) in [(HOME, &b.interface), (b.peer, &b.peer_interface)] {
            space.run("ip", &["link", "del", "v77"])?;
            mtu(space, interface, "1500")?;
        }
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))
    });
    ktap.case("filters further addresses without promiscuity", || {
        HOME.add_link(&b.interface, "mv0", &["type", "macvlan"])?;
        HOME.up("mv0", "10.76.0.99/24")?;
        let flags = HOME.run("ip", &["link", "show", &b.interface])?;
        let result = b.peer.answer("10.76.0.99", Duration::from_secs(5));
        HOME.run("ip", &["link", "del", "mv0"])?;
        if flags.contains("PROMISC") {
            bail!("{flags}");
        }
        result
    });
    ktap.case("shows itself to ethtool", || {
        let text = b.ethtool(&["-i"])?;
        if !text.contains("driver: igb_compsc") || !text.contains(&b.address) {
            bail!("{text}");
        }
        let dump = b.ethtool(&["-e", "length", "6"])?;
        let mac = HOME.attribute(&b.interface, "address")?.replace(':', " ");
        if !dump.contains(&mac) {
            bail!("the EEPROM does not hold {mac}: {dump}");
        }
        for words in [&["-d"][..], &["-a"], &["-g"], &["-l"], &["-c"], &["-x"]] {
            b.ethtool(words)?;
        }
        let link = b.ethtool(&[])?;
        for part in ["Speed: 1000Mb/s", "Auto-negotiation: on", "Twisted Pair"] {
            if !link.contains(part) {
                bail!("no \"{part}\" in {link}");
            }
        }
        let test = b.ethtool(&["-t", "offline"])?;
        if !test.contains("PASS") {
            bail!("{test}");
        }
        b.ethtool(&["-p", "1"])?;
        thread::sleep(LINK);
        b.ping(3)
    });
    ktap.case("wakes by what the EEPROM allows (ethtool wol)", || wakes(b));
    ktap.case("negotiates speeds and pause (ethtool -s, -A, -r)", || {
        b.ethtool(&["-A", "autoneg", "off", "rx", "off", "tx", "off"])?;
        let text = b.ethtool(&["-a"])?;
        if text.matches("\toff").count() < 3 {
            bail!("{text}");
        }
        b.ethtool(&["-A", "autoneg", "on", "rx", "on", "tx", "on"])?;
        b.ethtool(&["-s", "advertise", "0x020"])?;
        b.ethtool(&["-r"])?;
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))?;
        if b.ethtool(&["-s", "autoneg", "off", "speed", "100", "duplex", "full"])
            .is_ok()
        {
            bail!("a fixed speed was accepted");
        }
        b.ethtool(&["-s", "advertise", "0x02f"])?;
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))
    });
    // What comes while a link is negotiated is lost, at 100 requests a second.
    ktap.case("restores by the debugfs trigger under traffic", || {
        b.under_traffic(args.restores, 120, |_| {
            b.restore()?;
            thread::sleep(LINK);
            b.ping(1)
        })
    });
    ktap.case("restores after function-level resets under traffic", || {
        b.under_traffic(args.restores.div_ceil(2), 250, |_| {
            write_sysfs(&b.device.join("reset"), "1")?;
            b.answer_after_reset()
        })
    });
    ktap.case("runs XDP programs over restores", || {
        Subject {
            space: HOME,
            interface: &b.interface,
            address: PF_ADDRESS,
            peer: b.peer,
            restores: args.restores,
            restore: &|| {
                b.restore()?;
                thread::sleep(LINK);
                Ok(())
            },
            lost: 120 * u64::from(b.slowdown),
        }
        .test()
    });
    ktap.case("recovers from bus errors under traffic (AER)", || {
        b.under_traffic(2, 500, |i| {
            b.bus_error(BUS_ERRORS[i as usize % 2])?;
            b.answer_after_reset()
        })
    });
    ktap.case("goes on after the machine was suspended", || {
        b.under_traffic(2, 500, |_| {
            suspend()?;
            b.answer_after_reset()
        })
    });
    ktap.case("goes down and up", || {
        for _ in 0..5 {
            HOME.run("ip", &["link", "set", &b.interface, "down"])?;
            HOME.run("ip", &["link", "set", &b.interface, "up"])?;
        }
        HOME.answer(PEER_ADDRESS, Duration::from_secs(10))?;
        b.ping(10)
    });
}

/// What a time stamp may take to come.
const STAMP_PATIENCE: Duration = Duration::from_secs(10);
/// Nanoseconds that a look at a clock may be off by the system's for what is measured by it.
const SHARP: i64 = 2_000_000;
/// Nanoseconds by which a clock may lag or lead that went on without its device.
const GONE_ON: i64 = 5_000_000;

fn clock(ktap: &mut Ktap, b: &Bench) {
    ktap.case("has a clock and stamps what igb does (ethtool -T)", || {
        stamps_as_igb(b)
    });
    ktap.case("sets and adjusts its clock exactly", || {
        let phc = Phc::open(&b.address)?;
        for ns in [1, 4_000_000_000_123_456_789, 1_700_000_000_999_999_999] {
            let before = phc.sharp_look(SHARP)?;
            phc.set(ns)?;
            let after = phc.sharp_look(SHARP)?;
            // Set after the one look, read in the other.
            if after.time < ns || after.time > ns + 2 * (after.after - before.before) {
                bail!("set to {ns}, it shows {}", after.time);
            }
        }
        for ns in [
            1,
            123_456_789,
            -987_654_321,
            86_400_000_000_007,
            -400_000_000_000_000,
        ] {
            let before = phc.sharp_look(SHARP)?;
            phc.adjust(ns)?;
            let after = phc.sharp_look(SHARP)?;
            holds("the step", before.gained(after, 1.0), ns, SHARP)?;
        }
        Ok(())
    });
    ktap.case(
        "runs at the frequency that it is told, without jumps",
        || {
            let phc = Phc::open(&b.address)?;
            let result = frequencies(&phc);
            phc.tune(0)?;
            result
        },
    );
    ktap.case("stamps what it sends, over Ethernet and UDP", || {
        sends_stamped(b)
    });
    ktap.case("stamps what it receives", || receives_stamped(b));
    ktap.case("stamps again when nobody has taken a stamp", || {
        let wire = Wire::set_up(b)?;
        wire.receive(1)?;
        // An emulated adapter stamps frames that are not for it, too, and then no other.
        let cleared = || {
            HOME.statistics(&b.interface)
                .map(|all| all["rx_hwtstamp_cleared"])
        };
        let before = cleared()?;
        let stray = ptp::sync_frame(&wire.peer_mac, "02:76:00:00:00:fe", 2)?;
        wire.peer_socket.send(&stray)?;
        let stamped = || wire.receive_any(3).map(|stamp| stamp.hardware.is_some());
        if stamped()? {
            return same("the counter of cleared stamps", &before, &cleared()?);
        }
        wait_for(Duration::from_secs(30), "stamps again", || {
            stamped().ok()?.then_some(())
        })?;
        same("the counter of cleared stamps", &(before + 1), &cleared()?)
    });
    ktap.case("keeps clock, frequency and stamps over resets", || {
        let phc = Phc::open(&b.address)?;
        let result = resets_clock(b, &phc);
        phc.tune(0)?;
        result
    });
    ktap.case("gives up stamps of packets that a reset cuts off", || {
        let wire = Wire::set_up(b)?;
        wire.send(1)?;
        let lost = || {
            HOME.statistics(&b.interface)
                .map(|all| all["tx_hwtstamp_timeouts"])
        };
        let before = lost()?;
        master(b, false)?;
        let sent = wire.socket.send(&wire.frame(2)?);
        master(b, true)?;
        sent?;
        b.restore()?;
        same("the counter of lost stamps", &(before + 1), &lost()?)?;
        let stamp = wire.socket.sent(Duration::from_millis(500))?;
        if stamp.hardware.is_some() {
            bail!("a stamp came all the same: {stamp:?}");
        }
        b.answer_after_reset()?;
        // And that of the next packet is its own.
        wire.send(3)
    });
    ktap.case("ends without stamps", || {
        ptp::set_stamping(HOME, &b.interface, 0, filter::NONE)?;
        let wire = Wire::unset(b)?;
        let skipped = || {
            HOME.statistics(&b.interface)
                .map(|all| all["tx_hwtstamp_skipped"])
        };
        let before = skipped()?;
        wire.socket.send(&wire.frame(1)?)?;
        let sent = wire.socket.sent(Duration::from_millis(500))?;
        let received = wire.receive_any(2)?;
        if sent.hardware.is_some() || sent.software.is_none() || received.hardware.is_some() {
            bail!("sent {sent:?}, received {received:?}");
        }
        same("the counter of skipped stamps", &(before + 1), &skipped()?)
    });
}

/// Two sockets for PTP over Ethernet on the cable, this adapter's and the peer's, and their clocks.
struct Wire {
    phc: Phc,
    socket: StampSocket,
    peer_socket: StampSocket,
    mac: String,
    peer_mac: String,
}

impl Wire {
    /// Both adapters stamp.
    fn set_up(b: &Bench) -> Result<Self> {
        ptp::set_stamping(HOME, &b.interface, 1, filter::V2_EVENT)?;
        ptp::set_stamping(b.peer, &b.peer_interface, 1, filter::V2_EVENT)?;
        Self::unset(b)
    }

    fn unset(b: &Bench) -> Result<Self> {
        Ok(Self {
            phc: Phc::open(&b.address)?,
            socket: StampSocket::ethernet(HOME, &b.interface)?,
            peer_socket: StampSocket::ethernet(b.peer, &b.peer_interface)?,
            mac: HOME.attribute(&b.interface, "address")?,
            peer_mac: b.peer.attribute(&b.peer_interface, "address")?,
        })
    }

    fn frame(&self, sequence: u16) -> Result<Vec<u8>> {
        ptp::sync_frame(&self.mac, &self.peer_mac, sequence)
    }

    /// Sends a packet: its stamp is there, and between two readings of the clock; the peer gets the packet.
    fn send(&self, sequence: u16) -> Result<()> {
        let before = self.phc.time()?;
        let frame = self.frame(sequence)?;
        self.socket.send(&frame)?;
        let stamp = self.socket.sent(STAMP_PATIENCE)?;
        between(stamp, before, self.phc.time()?)?;
        if stamp.software.is_none() {
            bail!("no stamp by software: {stamp:?}");
        }
        self.peer_socket
            .await_packet(&frame, STAMP_PATIENCE)
            .context("at the peer")
            .map(|_| ())
    }

    /// The peer sends a packet: what stamp has it?
    fn receive_any(&self, sequence: u16) -> Result<Stamp> {
        let frame = ptp::sync_frame(&self.peer_mac, &self.mac, sequence)?;
        self.peer_socket.send(&frame)?;
        self.socket.await_packet(&frame, STAMP_PATIENCE)
    }

    /// The peer sends a packet: its stamp is there, and between two readings of the clock. Returns it.
    fn receive(&self, sequence: u16) -> Result<i64> {
        let before = self.phc.time()?;
        let stamp = self.receive_any(sequence)?;
        between(stamp, before, self.phc.time()?)
    }
}

/// The hardware's stamp lies between two readings of its clock.
fn between(stamp: Stamp, before: i64, after: i64) -> Result<i64> {
    let time = stamp.hardware.context("no stamp by the hardware")?;
    if time < before || time > after {
        bail!("stamped at {time}, but it was between {before} and {after}");
    }
    Ok(time)
}

/// What the device can is what igb says it can; filters are rounded up to it.
fn stamps_as_igb(b: &Bench) -> Result<()> {
    let abilities = |text: String| -> Vec<String> {
        text.lines()
            .skip(1)
            .filter(|line| !line.contains("ock:") && !line.contains("index:"))
            .map(|line| line.trim().to_owned())
            .collect()
    };
    let theirs = abilities(b.peer.run("ethtool", &["-T", &b.peer_interface])?);
    let ours = abilities(b.ethtool(&["-T"])?);
    same("ethtool -T", &theirs, &ours)?;
    if !ours.iter().any(|line| line.starts_with("ptpv2-event")) {
        bail!("no filter for PTP in {ours:?}");
    }
    for (tx, asked, given) in [
        (1, filter::V2_EVENT, filter::V2_EVENT),
        (0, filter::V2_L4_SYNC, filter::V2_EVENT),
        (1, filter::V1_SYNC, filter::V1_SYNC),
        (1, filter::NONE, filter::NONE),
    ] {
        let set = ptp::set_stamping(HOME, &b.interface, tx, asked)?;
        same("the given", &(tx, given), &set)?;
        same("the shown", &set, &ptp::stamping(HOME, &b.interface)?)?;
        let peer = ptp::set_stamping(b.peer, &b.peer_interface, tx, asked)?;
        same("what igb gives", &peer, &set)?;
    }
    let before = ptp::stamping(HOME, &b.interface)?;
    for (tx, rx) in [(1, filter::ALL), (1, filter::V1_EVENT), (2, filter::NONE)] {
        let result = ptp::set_stamping(HOME, &b.interface, tx, rx);
        if !ptp::refused(&result, nix::libc::ERANGE) {
            bail!("{tx} and filter {rx}: {result:?}");
        }
    }
    same(
        "what was given",
        &before,
        &ptp::stamping(HOME, &b.interface)?,
    )
}

fn frequencies(phc: &Phc) -> Result<()> {
    phc.tune(0)?;
    // The emulated device and the processor need not agree on a second.
    let (low, high) = phc.rate(0.002)?;
    if low > 1.02 || high < 0.98 {
        bail!("the clock's rate is between {low} and {high}");
    }
    let nominal = (low + high) / 2.0;
    for ppm in [50_000, -50_000, 100_000, 0] {
        let before = phc.sharp_look(SHARP)?;
        phc.tune(ppm)?;
        let after = phc.sharp_look(SHARP)?;
        holds("the jump", before.gained(after, 1.0), 0, {
            // A tenth of what went by.
            SHARP + (after.after - before.before) / 8
        })?;
        let (low, high) = phc.rate(0.002)?;
        let told = nominal * (1.0 + ppm as f64 / 1e6);
        if low > told + 0.01 || high < told - 0.01 {
            bail!("{ppm} ppm: the clock's rate is between {low} and {high}");
        }
    }
    if phc.tune(1_000_000).is_ok() {
        bail!("twice the frequency was accepted");
    }
    Ok(())
}

fn sends_stamped(b: &Bench) -> Result<()> {
    let wire = Wire::set_up(b)?;
    let counters = || -> Result<[u64; 2]> {
        let all = HOME.statistics(&b.interface)?;
        Ok([all["tx_hwtstamp_skipped"], all["tx_hwtstamp_timeouts"]])
    };
    let before = counters()?;
    for sequence in 0..20 {
        wire.send(sequence)
            .with_context(|| format!("packet {sequence}"))?;
    }
    let udp = StampSocket::udp(HOME, PF_ADDRESS, PEER_ADDRESS)?;
    let _port = StampSocket::udp(b.peer, PEER_ADDRESS, PF_ADDRESS)?;
    let mut last = 0;
    for sequence in 0..20 {
        let begin = wire.phc.time()?;
        udp.send(&ptp::sync(sequence))?;
        let stamp = udp.sent(STAMP_PATIENCE)?;
        let time = between(stamp, begin, wire.phc.time()?)
            .with_context(|| format!("datagram {sequence}"))?;
        if time <= last {
            bail!("stamped at {time} after {last}");
        }
        last = time;
    }
    same("packets without a stamp", &before, &counters()?)?;
    // The device has one place for a stamp: of a burst, some go without, and are counted.
    for sequence in 0..50 {
        wire.socket.send(&wire.frame(sequence)?)?;
    }
    let mut stamped = 0;
    while wire
        .socket
        .sent(Duration::from_millis(500))?
        .hardware
        .is_some()
    {
        stamped += 1;
    }
    let [skipped, timeouts] = counters()?;
    same("packets", &50, &(stamped + skipped - before[0]))?;
    same("timeouts", &before[1], &timeouts)?;
    while wire
        .peer_socket
        .receive(Duration::from_millis(500))?
        .is_some()
    {}
    wire.send(1)
}

fn receives_stamped(b: &Bench) -> Result<()> {
    let wire = Wire::set_up(b)?;
    let mut last = 0;
    for sequence in 0..20 {
        let time = wire
            .receive(sequence)
            .with_context(|| format!("packet {sequence}"))?;
        if time <= last {
            bail!("stamped at {time} after {last}");
        }
        last = time;
        // Other packets are none of the stamps' business.
        b.ping(1)?;
    }
    Ok(())
}

/// Over each kind of reset the clock goes on, at the frequency that it was told, and packets are stamped afterwards as they
/// were before.
fn resets_clock(b: &Bench, phc: &Phc) -> Result<()> {
    const PPM: i64 = 10_000;
    let wire = Wire::set_up(b)?;
    phc.tune(PPM)?;
    let kinds: [(&str, &dyn Fn() -> Result<()>); 4] = [
        ("the debugfs trigger", &|| b.restore()),
        ("a function-level reset", &|| {
            write_sysfs(&b.device.join("reset"), "1")
        }),
        ("a bus error", &|| b.bus_error(BUS_ERRORS[0])),
        ("suspend", &suspend),
    ];
    for (name, reset) in kinds {
        let over = || -> Result<(Look, Look, f64)> {
            let (low, high) = phc.rate(0.0004)?;
            let before = phc.sharp_look(SHARP)?;
            let done = std::sync::atomic::AtomicBool::new(false);
            // Whoever reads it meanwhile sees it go on.
            let watched = thread::scope(|scope| {
                let watcher = scope.spawn(|| -> Result<()> {
                    let mut last = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let now = phc.time()?;
                        if now < last {
                            bail!("the clock went back from {last} to {now}");
                        }
                        last = now;
                    }
                    Ok(())
                });
                let result = reset().and_then(|()| b.answer_after_reset());
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                let watched = watcher.join().unwrap_or_else(|_| bail!("the watcher died"));
                result.and(watched)
            });
            watched?;
            Ok((before, phc.sharp_look(SHARP)?, (low + high) / 2.0))
        };
        let (before, after, rate) = over().with_context(|| name.to_owned())?;
        holds(name, before.gained(after, rate), 0, GONE_ON)?;
        let (low, high) = phc.rate(0.002)?;
        if low > rate + 0.004 || high < rate - 0.004 {
            bail!("after {name} the clock's rate is between {low} and {high}");
        }
        same(
            "what is stamped",
            &(1, filter::V2_EVENT),
            &ptp::stamping(HOME, &b.interface)?,
        )?;
        wire.send(1)
            .and_then(|()| wire.receive(2))
            .with_context(|| format!("after {name}"))?;
    }
    Ok(())
}

/// The Toeplitz hash, with which the device distributes packets.
fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1 != 0;
    (0..input.len() * 8)
        .filter(|at| bit(input, *at))
        .map(|at| (0..32).fold(0, |word, i| word << 1 | u32::from(bit(key, at + i))))
        .fold(0, |hash, word| hash ^ word)
}

/// The socket gets packets only that carry this hash.
fn only_with_hash(socket: &Socket, hash: u32) -> Result<()> {
    let accept = [
        // Loads the hash, compares it, and takes all of the packet or nothing.
        SockFilter::new(0x20, 0, 0, 0xffff_f000 + 32),
        SockFilter::new(0x15, 0, 1, hash),
        SockFilter::new(0x06, 0, 0, u32::MAX),
        SockFilter::new(0x06, 0, 0, 0),
    ];
    Ok(socket.attach_filter(&accept)?)
}

/// Packets carry the hash that the key says: of addresses and ports with TCP, of addresses else.
fn hashes(b: &Bench) -> Result<()> {
    let text = b.ethtool(&["-x"])?;
    let key: Vec<u8> = text
        .split_once("RSS hash key:")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .context("no key")?
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()?;
    let own: Ipv4Addr = PF_ADDRESS.parse()?;
    let peer: Ipv4Addr = PEER_ADDRESS.parse()?;
    let addresses = [peer.octets(), own.octets()].concat();

    let receive = |hash: u32| -> Result<bool> {
        let socket = UdpSocket::bind((own, 0))?;
        only_with_hash(&Socket::from(socket.try_clone()?), hash)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let target = socket.local_addr()?;
        in_namespace("pf-peer", || {
            let sender = UdpSocket::bind((peer, 0))?;
            for _ in 0..5 {
                sender.send_to(b"hash", target)?;
            }
            Ok(())
        })?;
        Ok(socket.recv(&mut [0; 8]).is_ok())
    };
    let hash = toeplitz(&key, &addresses);
    if !receive(hash)? {
        bail!("no datagram with the hash {hash:#x}");
    }
    if receive(hash ^ 1)? {
        bail!("a datagram with a wrong hash");
    }

    let listener = TcpListener::bind((own, 0))?;
    let target = listener.local_addr()?;
    in_namespace("pf-peer", || {
        let mut sender = TcpStream::connect(target)?;
        let (mut receiver, from) = listener.accept()?;
        let ports = [from.port().to_be_bytes(), target.port().to_be_bytes()].concat();
        let hash = toeplitz(&key, &[addresses.as_slice(), ports.as_slice()].concat());
        only_with_hash(&Socket::from(receiver.try_clone()?), hash)?;
        receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
        sender.write_all(b"hash")?;
        receiver
            .read_exact(&mut [0; 4])
            .with_context(|| format!("no segment with the hash {hash:#x}"))
    })?;

    b.ethtool(&["-K", "rxhash", "off"])?;
    if receive(hash)? {
        bail!("a datagram with a hash, although they are off");
    }
    Ok(())
}

fn sriov(ktap: &mut Ktap, b: &Bench, args: &PfArgs) {
    ktap.case("makes and removes 7 functions under traffic", || {
        write_sysfs(&b.device.join("sriov_drivers_autoprobe"), "0")?;
        b.under_traffic(3, 30, |_| {
            b.set_vfs(7)?;
            b.ping(3)?;
            b.set_vfs(0)?;
            b.ping(3)
        })?;
        if b.set_vfs(8).is_ok() {
            bail!("8 functions were made");
        }
        Ok(())
    });
    let mut vfs = None;
    ktap.case("serves our VF driver and the distribution's", || {
        let made = Vfs::set_up(b, args)?;
        // The distribution's driver gives the PF a tenth of a second for an answer, and starts over 10 s after it had none.
        made.reach(STOCK_PATIENCE)?;
        vfs = Some(made);
        Ok(())
    });
    let Some(vfs) = vfs else { return };
    let vfs = &vfs;
    ktap.case("switches between functions and the cable", || {
        for space in vfs.spaces {
            space.stream(b.peer, PEER_ADDRESS, 10, 1, false)?;
            space.stream(b.peer, PEER_ADDRESS, 10, 1, true)?;
        }
        vfs.spaces[0].stream(vfs.spaces[1], VF_ADDRESSES[1], 10, 1, false)?;
        HOME.stream(vfs.spaces[0], VF_ADDRESSES[0], 10, 1, false)
    });
    ktap.case("counts what functions receive and send", || {
        for vf in 0..2 {
            let shown = b.shown_vf(vf)?;
            for way in ["rx", "tx"] {
                let stats = &shown["stats"][way];
                // iproute2 names the one direction's figures otherwise.
                let bytes = stats["bytes"].as_u64().or(stats["tx_bytes"].as_u64());
                let bytes = bytes.unwrap_or(0);
                if bytes < 10_000_000 {
                    bail!("{way} of function {vf} after 20 MB each way: {shown}");
                }
            }
        }
        Ok(())
    });
    ktap.case("keeps what the administrator sets (ip link set vf)", || {
        b.set_vf(1, &["max_tx_rate", "200"])?;
        b.set_vf(1, &["trust", "on"])?;
        b.set_vf(1, &["spoofchk", "off"])?;
        b.set_vf(1, &["state", "disable"])?;
        let shown = b.shown_vf(1)?;
        same("the address", &Some(VF_MACS[1]), &shown["address"].as_str())?;
        same("the rate", &Some(200), &shown["rate"]["max_tx"].as_u64())?;
        same("trust", &Some(true), &shown["trust"].as_bool())?;
        same("spoof check", &Some(false), &shown["spoofchk"].as_bool())?;
        same("the state", &Some("disable"), &shown["link_state"].as_str())?;
        let cut = vfs.spaces[1].ping(PEER_ADDRESS, 1, 56).is_err();
        b.set_vf(1, &["state", "auto"])?;
        b.set_vf(1, &["max_tx_rate", "0"])?;
        b.set_vf(1, &["trust", "off"])?;
        b.set_vf(1, &["spoofchk", "on"])?;
        if !cut {
            bail!("a function that was cut off has sent");
        }
        for wrong in [
            ["mac", "01:00:00:00:00:01"],
            ["max_tx_rate", "5000"],
            ["vlan", "4095"],
        ] {
            if b.set_vf(0, &wrong).is_ok() {
                bail!("{wrong:?} was accepted");
            }
        }
        if b.set_vf(6, &["trust", "on"]).is_ok() {
            bail!("a function that does not exist was changed");
        }
        vfs.reach(STOCK_PATIENCE)
    });
    ktap.case("puts a function into a VLAN", || {
        b.set_vf(0, &["vlan", "55", "qos", "2"])?;
        if vfs.spaces[0].ping(PEER_ADDRESS, 1, 56).is_ok() {
            bail!("the function still reaches those without a VLAN");
        }
        b.peer
            .add_link(&b.peer_interface, "v55", &["type", "vlan", "id", "55"])?;
        b.peer.up("v55", "10.55.0.2/24")?;
        let here = ["addr", "add", "10.55.0.1/24", "dev", &vfs.interfaces[0]];
        vfs.spaces[0].run("ip", &here)?;
        let inside = vfs.spaces[0].answer("10.55.0.2", Duration::from_secs(5));
        b.set_vf(0, &["vlan", "0"])?;
        b.peer.run("ip", &["link", "del", "v55"])?;
        inside.context("inside the VLAN")?;
        vfs.reach(Duration::from_secs(5))
    });
    ktap.case("refuses VLANs that do not fit beside functions", || {
        let before = b.restores()?;
        let mut added = Vec::new();
        let refused = (100..140).find_map(|vid| {
            let (vid, name) = (format!("{vid}"), format!("own{vid}"));
            let result = HOME.add_link(&b.interface, &name, &["type", "vlan", "id", &vid]);
            added.push(name);
            result.err()
        });
        // The last one was refused.
        let there = &added[..added.len() - 1];
        let reached = b.ping(3).and_then(|()| vfs.reach(Duration::from_secs(5)));
        for name in there {
            HOME.run("ip", &["link", "del", name])?;
        }
        let refused = refused.context("40 VLANs were accepted")?;
        // Its share beside two functions is 8, and the stack has added VLAN 0.
        if there.len() != 7 || !format!("{refused:#}").contains("No space left") {
            bail!("after {} VLANs: {refused:#}", there.len());
        }
        reached?;
        same("the number of restores", &before, &b.restores()?)
    });
    ktap.case("serves functions while its interface is down", || {
        HOME.run("ip", &["link", "set", &b.interface, "down"])?;
        let result = vfs.spaces[0]
            .ping(PEER_ADDRESS, 10, 56)
            .and_then(|()| vfs.spaces[1].ping(PEER_ADDRESS, 10, 56));
        HOME.run("ip", &["link", "set", &b.interface, "up"])?;
        HOME.answer(PEER_ADDRESS, Duration::from_secs(5))?;
        result
    });
    ktap.case("brings functions back after its own reset", || {
        b.restore()?;
        thread::sleep(LINK);
        vfs.spaces[0]
            .answer(PEER_ADDRESS, Duration::from_secs(5))
            .context("with our driver")?;
        vfs.reach(STOCK_PATIENCE)
    });
    ktap.case("brings functions back after function-level resets", || {
        vfs.under_traffic(|| {
            write_sysfs(&b.device.join("reset"), "1")?;
            b.answer_after_reset()
        })
    });
    ktap.case("brings functions back after bus errors (AER)", || {
        vfs.under_traffic(|| {
            b.bus_error(BUS_ERRORS[0])?;
            b.answer_after_reset()
        })
    });
    ktap.case(
        "brings functions back after the machine was suspended",
        || {
            vfs.under_traffic(|| {
                suspend()?;
                b.answer_after_reset()
            })
        },
    );
    ktap.case("serves a function after a reset of that", || {
        let device = Path::new(PCI).join(&vfs.functions[0].address);
        write_sysfs(&device.join("reset"), "1")?;
        vfs.spaces[0].answer(PEER_ADDRESS, Duration::from_secs(5))?;
        vfs.reach(Duration::from_secs(5))
    });
    ktap.case("is not impressed by a hostile function", || hostile(b, vfs));
    ktap.case("removes functions", || vfs.tear_down(b));
}

/// What devlink says of the adapter.
fn devlink(b: &Bench, arguments: &[&str]) -> Result<Value> {
    let handle = format!("pci/{}", b.address);
    let words = arguments.iter().position(|word| *word == "reporter");
    let (what, rest) = arguments.split_at(words.unwrap_or(arguments.len()));
    let all = [&["-j"], what, &[handle.as_str()], rest].concat();
    let text = run("devlink", &all)?;
    serde_json::from_str(&text).with_context(|| format!("devlink printed {text}"))
}

fn describes_itself(b: &Bench) -> Result<()> {
    let all = devlink(b, &["dev", "info"])?;
    let info = &all["info"][&format!("pci/{}", b.address)];
    same("the driver", &Some("igb_compsc"), &info["driver"].as_str())?;
    let board = info["versions"]["fixed"]["board.id"].as_str();
    board.with_context(|| format!("no board in {info}"))?;
    // The peer's EEPROM is of the same kind.
    let text = b.peer.run("ethtool", &["-i", &b.peer_interface])?;
    let theirs = text
        .lines()
        .find_map(|line| line.strip_prefix("firmware-version: "));
    same(
        "the firmware's version",
        &theirs,
        &info["versions"]["running"]["fw"].as_str(),
    )?;
    let line = format!("firmware-version: {}", theirs.unwrap_or_default());
    let text = b.ethtool(&["-i"])?;
    if !text.contains(&line) {
        bail!("no \"{line}\" in {text}");
    }
    Ok(())
}

/// The distribution's driver reads the same EEPROM.
fn wakes(b: &Bench) -> Result<()> {
    let lines = |text: String| -> Vec<String> {
        text.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| line.contains("Wake-on"))
            .collect()
    };
    let theirs = lines(b.peer.run("ethtool", &[&b.peer_interface])?);
    same("wake-on-LAN", &theirs, &lines(b.ethtool(&[])?))?;
    if theirs.is_empty() {
        bail!("wake-on-LAN is not shown");
    }
    let wakes = theirs.iter().any(|line| line == "Supports Wake-on: pumbg");
    for (how, allowed) in [("g", wakes), ("d", true), ("a", false)] {
        let done = b.ethtool(&["-s", "wol", how]);
        if done.is_ok() != allowed {
            bail!("wol {how} with {theirs:?}: {done:?}");
        }
        let shown = lines(b.ethtool(&[])?);
        if allowed && !shown.contains(&format!("Wake-on: {how}")) {
            bail!("after wol {how}: {shown:?}");
        }
    }
    Ok(())
}

/// A function without bus mastering sends nothing and reports nothing.
fn hang(b: &Bench) -> Result<()> {
    let marks = dmesg()?.len();
    let reporter = || -> Result<Value> {
        let all = devlink(b, &["health", "show", "reporter", "tx"])?;
        Ok(all["health"][&format!("pci/{}", b.address)][0].clone())
    };
    let count = |name: &str| reporter().ok()?[name].as_u64();
    same("errors", &Some(0), &count("error"))?;
    let flow = Flow::start(HOME, PEER_ADDRESS)?;
    master(b, false)?;
    let reported = wait_for(Duration::from_secs(30), "a report", || {
        (count("error")? != 0).then_some(())
    });
    master(b, true)?;
    reported?;
    // The recovery may have come too early; the next hang is soon.
    HOME.answer(PEER_ADDRESS, Duration::from_secs(20))?;
    flow.stop()?;
    same("recoveries", &count("error"), &count("recover"))?;
    same(
        "the state",
        &Some("healthy"),
        &reporter()?["state"].as_str(),
    )?;
    let dump = devlink(b, &["health", "dump", "show", "reporter", "tx"])?.to_string();
    for word in ["next_to_clean", "pending", "head"] {
        if !dump.contains(word) {
            bail!("no {word} in the dump: {dump}");
        }
    }
    devlink(b, &["health", "diagnose", "reporter", "tx"])?;
    b.ping(10)?;
    let log = dmesg()?;
    let others: Vec<_> = compsc_kernel_log::complaints(log.get(marks..).unwrap_or(&log))
        .into_iter()
        .filter(|line| !line.contains("NETDEV WATCHDOG"))
        .collect();
    same("the list of other complaints", &Vec::new(), &others)
}

/// Switches the bus mastering of the adapter, behind its driver's back.
fn master(b: &Bench, on: bool) -> Result<()> {
    const COMMAND: u64 = 4;
    const BUS_MASTER: u16 = 1 << 2;
    let file = File::options()
        .read(true)
        .write(true)
        .open(b.device.join("config"))?;
    let mut word = [0; 2];
    file.read_exact_at(&mut word, COMMAND)?;
    let command = u16::from_le_bytes(word) & !BUS_MASTER | BUS_MASTER * u16::from(on);
    Ok(file.write_all_at(&command.to_le_bytes(), COMMAND)?)
}

/// An address that the function has chosen, and that the host wants later, is the host's.
fn host_takes_address(
    b: &Bench,
    mailbox: &RawMailbox,
    mac: &dyn Fn(&str) -> Vec<u32>,
) -> Result<()> {
    const WANTED: &str = "02:82:57:6a:00:01";
    const NACK: u32 = 1 << 30;
    let set = [&[0x02], mac(WANTED).as_slice()].concat();
    let answer = mailbox.ask(&set).context("no answer")?;
    if answer & NACK != 0 {
        bail!("a free address was refused ({answer:#x})");
    }
    HOME.add_link(
        &b.interface,
        "taker",
        &["address", WANTED, "type", "macvlan"],
    )?;
    let taken = || {
        HOME.run("ip", &["link", "set", "taker", "up"])?;
        wait_for(
            Duration::from_secs(5),
            "the host to take its address",
            || (mailbox.ask(&[0x05, 1522])? & NACK != 0).then_some(()),
        )?;
        mailbox.ask(&[0x01]).context("no answer to a handshake")?;
        let answer = mailbox.ask(&set).context("no answer")?;
        if answer & NACK == 0 {
            bail!("the host's address was given away ({answer:#x})");
        }
        Ok(())
    };
    let result = taken();
    HOME.run("ip", &["link", "del", "taker"])?;
    result
}

/// The second function goes into hostile hands, the first one has to work on.
fn hostile(b: &Bench, vfs: &Vfs) -> Result<()> {
    let function = &vfs.functions[1];
    write_sysfs(
        &Path::new(PCI).join(&function.address).join("driver/unbind"),
        &function.address,
    )?;
    // Of its own choice, so that it may try others'.
    b.set_vf(1, &["mac", "00:00:00:00:00:00"])?;
    let mailbox = RawMailbox::open(function)?;
    mailbox.write(0, 1 << 26);
    thread::sleep(Duration::from_millis(20));
    mailbox.ask(&[0x01]).context("no answer to a handshake")?;
    let mac = |text: &str| -> Vec<u32> {
        let bytes: Vec<u32> = text
            .split(':')
            .map(|byte| u32::from_str_radix(byte, 16).unwrap_or(0))
            .collect();
        vec![
            bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24,
            bytes[4] | bytes[5] << 8,
        ]
    };
    let pf_mac = HOME.attribute(&b.interface, "address")?;
    for stolen in [VF_MACS[0], &pf_mac] {
        for kind in [0x02, 0x0002_0002] {
            let message = [&[kind], mac(stolen).as_slice()].concat();
            let answer = mailbox.ask(&message).context("no answer")?;
            if answer & 1 << 30 == 0 {
                bail!("the address {stolen} was given away ({answer:#x})");
            }
        }
    }
    for wrong in [
        &[0x07][..],
        &[0x00ff_0003],
        &[0x0001_0004, 0xffff],
        &[0x05, u32::MAX],
        &[0x0002_0006],
    ] {
        let answer = mailbox.ask(wrong).context("no answer")?;
        if answer & 1 << 30 == 0 {
            bail!("{wrong:x?} was granted ({answer:#x})");
        }
    }
    host_takes_address(b, &mailbox, &mac)?;
    let flow = Flow::start(vfs.spaces[0], PEER_ADDRESS)?;
    let messages = flood(&mailbox, 1, Duration::from_secs(5));
    // Whoever else asks the PF meanwhile, or right afterwards, gets an answer.
    let before = Instant::now();
    vfs.spaces[0].run("ip", &["link", "set", &vfs.interfaces[0], "mtu", "1400"])?;
    let waited = before.elapsed();
    vfs.spaces[0].run("ip", &["link", "set", &vfs.interfaces[0], "mtu", "1500"])?;
    let (sent, received, _) = flow.stop()?;
    if messages < 500 {
        bail!("{messages} messages are no flood");
    }
    if waited > Duration::from_secs(2) * b.slowdown {
        bail!("a request of another function took {waited:?}");
    }
    if received * 100 < sent * 90 {
        bail!("{received} of {sent} requests of another function answered during the flood");
    }
    drop(mailbox);
    thread::sleep(Duration::from_millis(200));
    vfs.spaces[0].ping(PEER_ADDRESS, 10, 1472)?;
    b.ping(10)?;
    // In good hands again it works.
    b.set_vf(1, &["mac", VF_MACS[1]])?;
    write_sysfs(&Path::new(PCI).join(&function.address).join("enable"), "0")?;
    function.bind(VF_DRIVERS[1])?;
    let interface = nic::interface(&function.address)?;
    vfs.spaces[1].take(&interface)?;
    vfs.spaces[1].up(&interface, &format!("{}/24", VF_ADDRESSES[1]))?;
    vfs.spaces[1].answer(PEER_ADDRESS, Duration::from_secs(10))
}
