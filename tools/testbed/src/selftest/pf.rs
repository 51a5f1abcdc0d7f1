// SPDX-License-Identifier: GPL-2.0

//! The PF driver on an adapter of this machine, with another adapter on the same cable: traffic, settings, restores,
//! virtual functions, and what a hostile one can do.

use super::Ktap;
use super::net::Flow;
use super::net::Space;
use super::net::clean_log;
use super::net::monotonic;
use super::net::same;
use crate::host::dmesg;
use crate::host::nic;
use crate::host::nic::Function;
use crate::host::nic::HostDriver;
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
use std::fs;
use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use vfio_states::random::Random;

const PCI: &str = "/sys/bus/pci/devices";

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

struct Bench {
    slowdown: u32,
    device: PathBuf,
    address: String,
    interface: String,
    peer: Space,
    peer_interface: String,
    debugfs: PathBuf,
}

fn interface_of(device: &Path) -> Result<String> {
    wait_for(Duration::from_secs(5), "a network interface", || {
        let entry = fs::read_dir(device.join("net"))
            .ok()?
            .find_map(Result::ok)?;
        Some(entry.file_name().to_string_lossy().into_owned())
    })
    .with_context(|| device.display().to_string())
}

fn adapters() -> Result<Vec<String>> {
    let mut found: Vec<String> = fs::read_dir(PCI)?
        .filter_map(Result::ok)
        .filter(|entry| {
            let id = fs::read_to_string(entry.path().join("device")).unwrap_or_default();
            id.trim() == "0x10c9"
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    Ok(found)
}

impl Bench {
    fn set_up(args: &PfArgs, ours: &str, other: &str) -> Result<Self> {
        for driver in [HostDriver::Compsc, HostDriver::Igb] {
            driver.load(&args.modules)?;
        }
        nic::bind(ours, HostDriver::Compsc.module())?;
        nic::bind(other, HostDriver::Igb.module())?;
        let device = Path::new(PCI).join(ours);
        let peer_interface = interface_of(&Path::new(PCI).join(other))?;
        let peer = Space::make("pf-peer")?;
        peer.take(&peer_interface)?;
        let bench = Self {
            slowdown: args.slowdown,
            interface: interface_of(&device)?,
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

    fn restore(&self) -> Result<()> {
        write_sysfs(&self.debugfs.join("replay"), "1")
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
            interfaces[i] = interface_of(&Path::new(PCI).join(&functions[i].address))?;
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

    fn tear_down(&self, b: &Bench) -> Result<()> {
        for name in VF_NAMES {
            run("ip", &["netns", "del", name])?;
        }
        b.set_vfs(0)
    }
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
    let found = adapters().unwrap_or_default();
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
    let marks = dmesg().map(|text| text.len()).unwrap_or(0);
    let b = &bench;
    netdev(&mut ktap, b, args);
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
            let add = [
                "link", "add", "link", interface, "name", "v77", "type", "vlan", "id", "77",
            ];
            space.run("ip", &add)?;
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
        let add = [
            "link",
            "add",
            "link",
            &b.interface,
            "name",
            "mv0",
            "type",
            "macvlan",
        ];
        HOME.run("ip", &add)?;
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
            thread::sleep(LINK);
            HOME.answer(PEER_ADDRESS, Duration::from_secs(5))
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
        made.reach(Duration::from_secs(5))?;
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
        let add = [
            "link",
            "add",
            "link",
            &b.peer_interface,
            "name",
            "v55",
            "type",
            "vlan",
            "id",
            "55",
        ];
        b.peer.run("ip", &add)?;
        b.peer.up("v55", "10.55.0.2/24")?;
        let here = ["addr", "add", "10.55.0.1/24", "dev", &vfs.interfaces[0]];
        vfs.spaces[0].run("ip", &here)?;
        let inside = vfs.spaces[0].answer("10.55.0.2", Duration::from_secs(5));
        b.set_vf(0, &["vlan", "0"])?;
        b.peer.run("ip", &["link", "del", "v55"])?;
        inside.context("inside the VLAN")?;
        vfs.reach(Duration::from_secs(5))
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
    ktap.case("serves a function after a reset of that", || {
        let device = Path::new(PCI).join(&vfs.functions[0].address);
        write_sysfs(&device.join("reset"), "1")?;
        vfs.spaces[0].answer(PEER_ADDRESS, Duration::from_secs(5))?;
        vfs.reach(Duration::from_secs(5))
    });
    ktap.case("is not impressed by a hostile function", || hostile(b, vfs));
    ktap.case("removes functions", || vfs.tear_down(b));
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
    let interface = interface_of(&Path::new(PCI).join(&function.address))?;
    vfs.spaces[1].take(&interface)?;
    vfs.spaces[1].up(&interface, &format!("{}/24", VF_ADDRESSES[1]))?;
    vfs.spaces[1].answer(PEER_ADDRESS, Duration::from_secs(10))
}
