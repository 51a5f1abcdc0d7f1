// SPDX-License-Identifier: GPL-2.0

//! What all commands in the host VM share: adapters, their functions and a guest.

use crate::host::bridge::Bridge;
use crate::host::kvm::Asleep;
use crate::host::nic;
use crate::host::nic::Adapter;
use crate::host::nic::HostDriver;
use crate::host::nic::Kind;
use crate::host::qemu;
use crate::host::qemu::Paravirtual;
use crate::host::qemu::Spec;
use crate::host::qemu::Vm;
use crate::proto::Order;
use crate::traffic;
use crate::traffic::Side;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use compsc_report::figures::Figures;
use compsc_report::figures::parse_figures;
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options about the guest and the host's drivers.
#[derive(Args, Clone, Debug)]
pub struct LabArgs {
    /// Kernel image of the guest.
    #[arg(long, env = "COMPSC_GUEST_KERNEL", value_name = "FILE")]
    pub kernel: PathBuf,
    /// Initial RAM file system of the guest.
    #[arg(long, env = "COMPSC_GUEST_INITRD", value_name = "FILE")]
    pub initrd: PathBuf,
    /// Folder of the project's modules.
    #[arg(long, env = "COMPSC_MODULES", value_name = "DIR")]
    pub modules: PathBuf,
    /// VFIO driver on the host: a module in that folder, or vfio-pci.
    #[arg(long, default_value = "compsc_vfio_pci", value_name = "NAME")]
    pub vfio: String,
    /// Driver of the physical functions on the host: those whose virtual functions the guest owns, or those at the
    /// other end of the guest's cables.
    #[arg(
        long,
        env = "COMPSC_HOST_DRIVER",
        default_value = "igb",
        value_name = "NAME"
    )]
    pub host_driver: HostDriver,
    /// Processors of the guest.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub cpus: u32,
    /// Memory of the guest in MiB.
    #[arg(
        long,
        env = "COMPSC_GUEST_MEMORY",
        default_value_t = 256,
        value_name = "MIB"
    )]
    pub memory: u32,
    /// MTU on both sides.
    #[arg(long, default_value_t = 1500, value_name = "BYTES")]
    pub mtu: u32,
}

/// Options about traffic.
#[derive(Args, Clone, Debug)]
pub struct StreamArgs {
    /// Datagrams per second, each way.
    #[arg(long, default_value_t = 250, value_name = "N")]
    pub udp_rate: u32,
    /// Bytes per datagram.
    #[arg(long, default_value_t = 256, value_name = "BYTES")]
    pub udp_size: usize,
    /// Limit of each bulk TCP stream in megabits per second; 0 is none.
    #[arg(long, default_value_t = 4, value_name = "MBIT")]
    pub tcp_rate: u64,
    /// Microseconds between two requests.
    #[arg(long, default_value_t = 4000, value_name = "US")]
    pub rr_interval: u64,
    /// Seed of all content.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// Address of the endpoint outside the guest.
pub const HOST: [u8; 4] = [10, 82, 57, 1];
/// Address of the guest.
pub const GUEST: [u8; 4] = [10, 82, 57, 2];
/// Beginning of the MAC addresses of a guest's functions, whichever they are.
const GUEST_MAC: &str = "02:c0:5c:00:01:";

impl StreamArgs {
    /// The configuration for both sides.
    pub fn config(&self) -> traffic::Config {
        traffic::Config {
            host: IpAddr::from(HOST),
            guest: IpAddr::from(GUEST),
            port: 5700,
            seed: self.seed,
            udp_rate: self.udp_rate,
            udp_size: self.udp_size,
            tcp_rate: self.tcp_rate * 125_000,
            rr_interval_us: self.rr_interval,
        }
    }
}

/// What differs between the guests of one lab.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Processors.
    pub cpus: u32,
    /// MTU on both sides.
    pub mtu: u32,
    /// Functions that the guest owns. The first of them carries the traffic.
    pub functions: usize,
}

/// The host, ready for guests.
#[derive(Debug)]
pub struct Lab {
    /// The interface by which the host reaches guests.
    pub interface: String,
    /// What guests own.
    pub kind: Kind,
    /// PCI addresses of the functions for guests.
    functions: Vec<String>,
    /// The adapter that the functions belong to, if they are virtual.
    adapter: Option<Adapter>,
    /// Interfaces at the other ends of the functions' cables, if they are physical.
    partners: Vec<String>,
    args: LabArgs,
    folder: PathBuf,
    _asleep: Asleep,
}

/// Interface of the switch that joins the cables of physical functions.
const SWITCH: &str = "cables";

impl Lab {
    /// Loads the host's drivers and makes `count` functions for guests.
    ///
    /// Physical functions are the first adapters of the machine; as many follow, each on the cable of the one that is
    /// `count` before it.
    ///
    /// # Errors
    ///
    /// If the machine lacks what is needed; the message says what.
    pub fn set_up(args: &LabArgs, kind: Kind, count: usize) -> Result<Self> {
        qemu::prioritise()?;
        nic::modprobe("kvm-amd", &[])
            .or_else(|_| nic::modprobe("kvm-intel", &[]))
            .context("nested guests need KVM")?;
        nic::modprobe("vfio-pci", &[])?;
        if args.vfio != "vfio-pci" {
            let path = args.modules.join(format!("{}.ko", args.vfio));
            let helper = args.modules.join("compsc.ko");
            if helper.exists() {
                nic::insmod(&helper)?;
            }
            nic::insmod(&path)?;
        }
        args.host_driver.load(&args.modules)?;
        let mut lab = Self {
            interface: SWITCH.to_owned(),
            kind,
            functions: Vec::new(),
            adapter: None,
            partners: Vec::new(),
            args: args.clone(),
            folder: PathBuf::from("/run/testbed"),
            _asleep: Asleep::new()?,
        };
        match kind {
            Kind::Vf => {
                let adapter = Adapter::set_up(0, count, args.host_driver)?;
                lab.interface.clone_from(&adapter.interface);
                let addresses = adapter.functions.iter().map(|f| f.address.clone());
                lab.functions = addresses.collect();
                lab.adapter = Some(adapter);
            }
            Kind::Pf => {
                let mut found = nic::adapters()?;
                if found.len() < 2 * count {
                    bail!(
                        "{} 82576 are needed, {count} for guests and {count} on their cables; there are {}",
                        2 * count,
                        found.len()
                    );
                }
                let others = found.split_off(count);
                for address in &others[..count] {
                    nic::bind(address, args.host_driver.module())?;
                    lab.partners.push(nic::interface(address)?);
                }
                nic::join_cables(SWITCH, &lab.partners)?;
                lab.functions = found;
            }
        }
        let address = format!("{}/24", IpAddr::from(HOST));
        crate::host::run("ip", &["addr", "replace", &address, "dev", &lab.interface])?;
        for function in &lab.functions {
            nic::bind(function, &args.vfio)?;
        }
        Ok(lab)
    }

    /// What guests look like unless a test wants another shape.
    pub fn shape(&self) -> Shape {
        Shape {
            cpus: self.args.cpus,
            mtu: self.args.mtu,
            functions: 1,
        }
    }

    /// A guest with the driver `driver`. Counterparts of its virtual functions on source and destination get the same
    /// address; a physical function's address is the guest's affair.
    ///
    /// # Errors
    ///
    /// If a part of it is missing.
    pub fn guest(&self, driver: &str, shape: Shape) -> Result<Spec> {
        let mtu = shape.mtu.to_string();
        for interface in self.partners.iter().chain([&self.interface]) {
            crate::host::run("ip", &["link", "set", interface, "mtu", &mtu])?;
        }
        if let Some(adapter) = &self.adapter {
            for (i, function) in adapter.functions.iter().enumerate() {
                let mac = format!("{GUEST_MAC}{:02x}", i % shape.functions);
                adapter.set_mac(function, &mac)?;
            }
        }
        let spec = Spec {
            name: driver.to_owned(),
            kernel: self.args.kernel.clone(),
            initrd: self.args.initrd.clone(),
            modules: self.args.modules.clone(),
            driver: self.kind.module(driver).to_owned(),
            address: format!("{}/24", IpAddr::from(GUEST)),
            mtu: shape.mtu,
            memory: self.args.memory,
            cpus: shape.cpus,
            folder: self.folder.clone(),
            migratable: self.args.vfio != "vfio-pci" && driver != "failover",
            paravirtual: None,
            extra: Vec::new(),
        };
        spec.prepare()?;
        Ok(spec)
    }

    /// Gives guests of a driver that has a paravirtual interface that interface, and the bridge behind it.
    ///
    /// # Errors
    ///
    /// If there can be no bridge.
    pub fn bridge(&self, spec: &mut Spec) -> Result<Option<Bridge>> {
        let standby = match spec.name.as_str() {
            "virtio" => false,
            "failover" => true,
            _ => return Ok(None),
        };
        if self.kind != Kind::Vf {
            bail!("{} is compared with virtual functions only", spec.name);
        }
        let address = format!("{}/24", IpAddr::from(HOST));
        let bridge = Bridge::set_up(&self.interface, &address, spec.mtu)?;
        spec.paravirtual = Some(Paravirtual {
            tap: bridge.tap(0).to_owned(),
            mac: format!("{GUEST_MAC}00"),
            standby,
        });
        Ok(Some(bridge))
    }

    /// What the VFIO driver reports of the function number `index`; empty if it reports nothing.
    pub fn figures(&self, index: usize) -> Figures {
        let path = format!(
            "/sys/kernel/debug/{}/{}/status",
            self.args.vfio,
            self.function(index)
        );
        std::fs::read_to_string(path)
            .map(|text| parse_figures(&text))
            .unwrap_or_default()
    }

    /// PCI addresses of the functions at the place number `place`.
    pub fn functions(&self, place: usize, shape: Shape) -> Vec<&str> {
        (0..shape.functions)
            .map(|i| self.function(place * shape.functions + i))
            .collect()
    }

    /// PCI address of the function number `index`.
    pub fn function(&self, index: usize) -> &str {
        &self.functions[index]
    }
}

/// Starts all streams between the host and a guest that has booted.
///
/// # Errors
///
/// If the guest cannot be reached.
pub fn start_traffic(vm: &mut Vm, config: &traffic::Config) -> Result<Side> {
    let _: Value = vm
        .agent
        .ask(Order::TrafficStart(config.clone()), Duration::from_secs(20))?;
    Side::start_host(config)
}

/// Ends all streams and returns what the guest and the host saw.
///
/// # Errors
///
/// If the guest does not answer.
pub fn finish_traffic(vm: &mut Vm, side: &mut Side) -> Result<(traffic::Report, traffic::Report)> {
    let _: Value = vm.agent.ask(Order::TrafficStop, Duration::from_secs(20))?;
    side.stop();
    side.join(Duration::from_secs(30));
    let guest = vm.agent.finish_traffic()?;
    Ok((guest, side.report()))
}

/// Options of `testbed traffic`.
#[derive(Args, Debug)]
pub struct TrafficArgs {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    streams: StreamArgs,
    /// What the guest owns.
    #[arg(long, default_value = "vf", value_name = "KIND")]
    function: Kind,
    /// Driver in the guest: igbvf, igb, compsc or none.
    #[arg(long, default_value = "compsc")]
    driver: String,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Boots a guest and runs traffic without any migration.
///
/// # Errors
///
/// If something does not work.
pub fn traffic(args: &TrafficArgs) -> Result<()> {
    let lab = Lab::set_up(&args.lab, args.function, 2)?;
    eprintln!("host ready");
    let spec = lab.guest(&args.driver, lab.shape())?;
    let mut vm = spec.boot("a", &[lab.function(0)])?;
    eprintln!("guest ready");
    print!("{}", vm.agent.check("ip addr; dmesg | tail -n 5")?);
    let result = (|| {
        let mut side = start_traffic(&mut vm, &args.streams.config())?;
        std::thread::sleep(Duration::from_secs(args.seconds));
        finish_traffic(&mut vm, &mut side).map(|r| (r, side.exchanges()))
    })();
    let ((guest, host), exchanges) = result.map_err(|e| vm.explain(e))?;
    let rate = |bytes: u64| bytes * 8 / args.seconds / 1000;
    for (name, from, to) in [("tcp_in", &host, &guest), ("tcp_out", &guest, &host)] {
        let (sent, got) = (from.sent.get(name), to.received.get(name));
        let same = sent
            .zip(got)
            .is_some_and(|(s, g)| (s.bytes, s.hash) == (g.bytes, g.hash));
        println!(
            "{name}: {} kbit/s, content equal: {same}",
            rate(got.map_or(0, |g| g.bytes))
        );
    }
    for (name, from, to) in [("udp_in", &host, &guest), ("udp_out", &guest, &host)] {
        let got = to.datagrams.get(name).cloned().unwrap_or_default();
        println!(
            "{name}: sent {} received {} duplicated {} corrupted {} reordered {} lost {:?}",
            from.datagrams_sent.get(name).copied().unwrap_or(0),
            got.received,
            got.duplicated_ns.len(),
            got.corrupted_ns.len(),
            got.reordered,
            got.lost
        );
    }
    let mut times: Vec<u64> = exchanges
        .iter()
        .map(|e| e.received_ns - e.sent_ns)
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0);
    println!("rr: {} exchanges, median {} us", times.len(), median / 1000);
    println!("errors: {:?} {:?}", host.errors, guest.errors);
    println!(
        "host {:?}\nguest {:?}",
        traffic::StackCounters::read()?,
        vm.agent.counters()?
    );
    Ok(())
}
