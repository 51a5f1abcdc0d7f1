// SPDX-License-Identifier: GPL-2.0

//! Data-path benchmark: what a packet, or a byte of a stream, costs in guest instructions.
//!
//! It runs in a VM with one processor whose clock is its instruction counter (`scripts/vm --icount`: one
//! instruction is one nanosecond). A virtual function talks to its physical function inside that VM, or a physical
//! function to another one on its cable; the driver of the first is changed, everything else stays. What is measured is the time that the
//! processor was not idle, so the figures hold both ends of the connection, and a difference between two
//! drivers is a difference between the drivers.
//!
//! A stream's cost depends on how its packets happen to fall together: one that is acknowledged later leaves the next
//! interrupt more to do. So buffers are of fixed size, nothing is learnt from earlier connections, and all cases are
//! measured in several rounds, each with all drivers in another order. Figures are medians; the spread is half the
//! distance of the quartiles. The recorder's share compares neighbours: it is the median over the rounds.
//!
//! For the 64-byte cases the cost of the other end is measured too and taken off: a transmitted frame goes to
//! an address that nobody has, and received frames are compared with frames sent to that address. For the cases over
//! several queues the frames come from many addresses.

use crate::host::enter_namespace;
use crate::host::in_namespace;
use crate::host::nic;
use crate::host::nic::Adapter;
use crate::host::nic::HostDriver;
use crate::host::nic::PCI;
use crate::host::nic::adapters;
use crate::host::nic::bind;
use crate::host::nic::insmod;
use crate::host::nic::modprobe;
use crate::host::nic::wait_for;
use crate::host::run;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use clap::Args;
use clap::ValueEnum;
use compsc_report::tables;
use serde::Serialize;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Network namespace of the other end.
const PEER: &str = "peer";
const ADDRESS: &str = "10.77.0.2";
const PEER_ADDRESS: &str = "10.77.0.1";
const PORT: u16 = 7700;
/// Addresses that frames for several queues come from.
const FLOWS: u8 = 64;
/// A unicast address that no port has: the switch, or the other end's filter, drops the frame.
const NOBODY: &str = "02:00:00:00:00:99";

/// Measure what packets cost (run it with `make bench`).
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The kind of function under test.
    #[arg(long, default_value = "vf")]
    function: Kind,
    /// Folder with compsc.ko, igbvf_compsc.ko and igb_compsc.ko.
    #[arg(long)]
    modules: PathBuf,
    /// Folder with the same modules, the recorder compiled out.
    #[arg(long)]
    without_recorder: PathBuf,
    /// File for the figures (JSON).
    #[arg(long)]
    json: PathBuf,
    /// Only cases whose name contains this. The others have no figures.
    #[arg(long, env = "COMPSC_ONLY", value_name = "WORD")]
    only: Option<String>,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Frames per 64-byte case and round.
    #[arg(long, default_value_t = 40_000)]
    frames: u64,
    /// Bytes per stream case and round.
    #[arg(long, default_value_t = 40_000_000)]
    bytes: u64,
    /// Exchanges of the request/response case and round.
    #[arg(long, default_value_t = 2_000)]
    exchanges: u64,
}

/// A kind of function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Virtual; its adapter's physical function is the other end.
    Vf,
    /// Physical; another adapter on its cable is the other end.
    Pf,
}

impl Kind {
    /// Modules of our driver and of the distribution's.
    const fn modules(self) -> (&'static str, &'static str) {
        match self {
            Self::Vf => ("igbvf_compsc", "igbvf"),
            Self::Pf => ("igb_compsc", "igb"),
        }
    }

    /// What is measured.
    const fn cases(self) -> &'static [Case] {
        match self {
            Self::Vf => Case::ALL.split_at(COMMON).0,
            Self::Pf => &Case::ALL,
        }
    }
}

/// A driver of the function under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Driver {
    Ours,
    WithoutRecorder,
    Upstream,
}

impl Driver {
    const ALL: [Self; 3] = [Self::Ours, Self::WithoutRecorder, Self::Upstream];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::WithoutRecorder => "ours without recorder",
            Self::Upstream => "the distribution's",
        }
    }

    fn load(self, args: &BenchArgs) -> Result<&'static str> {
        let (ours, upstream) = args.function.modules();
        let folder = match self {
            Self::Upstream => {
                modprobe(upstream, &[])?;
                return Ok(upstream);
            }
            Self::Ours => &args.modules,
            Self::WithoutRecorder => &args.without_recorder,
        };
        insmod(&folder.join("compsc.ko"))?;
        insmod(&folder.join(format!("{ours}.ko")))?;
        Ok(ours)
    }

    fn unload(self, function: Kind) -> Result<()> {
        let (ours, upstream) = function.modules();
        match (self, function) {
            // The other end has it.
            (Self::Upstream, Kind::Pf) => return Ok(()),
            (Self::Upstream, Kind::Vf) => run("rmmod", &[upstream]),
            _ => run("rmmod", &[ours, "compsc"]),
        }
        .map(|_| ())
    }
}

/// A case and the unit of its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Transmit64,
    Receive64,
    StreamOut,
    StreamIn,
    Exchange,
    /// Received frames distributed over so many queues.
    Queues(u8),
}

/// Cases that every function has: the first ones of [`Case::ALL`].
const COMMON: usize = 5;

impl Case {
    const ALL: [Self; 9] = [
        Self::Transmit64,
        Self::Receive64,
        Self::StreamOut,
        Self::StreamIn,
        Self::Exchange,
        Self::Queues(1),
        Self::Queues(2),
        Self::Queues(4),
        Self::Queues(8),
    ];

    fn name(self) -> String {
        let name = match self {
            Self::Transmit64 => "tx_64",
            Self::Receive64 => "rx_64",
            Self::StreamOut => "tcp_stream_out",
            Self::StreamIn => "tcp_stream_in",
            Self::Exchange => "tcp_rr",
            Self::Queues(count) => return format!("rx_64_rss_{count}"),
        };
        name.to_owned()
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Transmit64 | Self::Receive64 | Self::Queues(_) => "packet",
            Self::StreamOut | Self::StreamIn => "byte",
            Self::Exchange => "exchange",
        }
    }
}

/// One case, as the report holds it: guest instructions per unit, medians over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    unit: &'static str,
    ours: f64,
    upstream: f64,
    ratio: f64,
    /// What recording adds, as a part of `ours`.
    recorder_share: f64,
    spread: Spread,
}

/// Half the distance between the quartiles of a row's figures.
#[derive(Debug, Serialize)]
struct Spread {
    ours: f64,
    upstream: f64,
    ratio: f64,
    recorder_share: f64,
}

/// The median and half the distance between the quartiles.
fn middle(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (values.len() - 1) as f64;
        let (low, high) = (
            values[place.floor() as usize],
            values[place.ceil() as usize],
        );
        low + (high - low) * place.fract()
    };
    (at(0.5), (at(0.75) - at(0.25)) / 2.0)
}

impl Row {
    /// From the figures of each round.
    fn new(case: Case, rounds: &[BTreeMap<(Case, Driver), f64>]) -> Self {
        let over = |figure: fn([f64; 3]) -> f64| {
            let values = rounds
                .iter()
                .map(|round| figure(Driver::ALL.map(|driver| round[&(case, driver)])));
            middle(values.collect())
        };
        let ours = over(|[ours, _, _]| ours);
        let upstream = over(|[_, _, upstream]| upstream);
        let ratio = over(|[ours, _, upstream]| ours / upstream);
        let share = over(|[ours, without, _]| 1.0 - without / ours);
        Self {
            name: case.name(),
            unit: case.unit(),
            ours: ours.0,
            upstream: upstream.0,
            ratio: ratio.0,
            recorder_share: share.0,
            spread: Spread {
                ours: ours.1,
                upstream: upstream.1,
                ratio: ratio.1,
                recorder_share: share.1,
            },
        }
    }
}

/// Runs the benchmark and writes the report.
///
/// # Errors
///
/// If the machine is not set up for it, or a driver does not work.
pub fn bench(args: &BenchArgs) -> Result<()> {
    if thread::available_parallelism()?.get() != 1 {
        bail!("this measures instructions of one processor: start it by `make bench`");
    }
    HostDriver::Igb.load(&args.modules)?;
    let ends = Ends::set_up(args.function)?;
    run("ip", &["netns", "add", PEER])?;
    run("ip", &["link", "set", &ends.interface, "netns", PEER])?;
    peer(|| {
        let address = format!("{PEER_ADDRESS}/24");
        run("ip", &["addr", "add", &address, "dev", &ends.interface])?;
        run("ip", &["link", "set", &ends.interface, "up"])?;
        run("ip", &["link", "set", "lo", "up"])?;
        forget_connections()
    })?;
    forget_connections()?;
    for limit in ["rmem_max", "wmem_max"] {
        let path = Path::new("/proc/sys/net/core").join(limit);
        crate::host::write_sysfs(&path, &BUFFER.to_string())?;
    }
    modprobe("pktgen", &[])?;
    let idler = Idler::start()?;

    let mut rounds = Vec::new();
    for round in 0..args.rounds.max(1) {
        let mut figures = BTreeMap::new();
        for i in 0..Driver::ALL.len() {
            // None is always the first, or always behind the same other.
            let at = if round % 2 == 0 {
                i
            } else {
                Driver::ALL.len() - 1 - i
            };
            let driver = Driver::ALL[(at + round / 2) % Driver::ALL.len()];
            eprintln!("round {}: {}", round + 1, driver.name());
            for (case, value) in measure(args, &idler, &ends, driver)? {
                figures.insert((case, driver), value);
            }
        }
        rounds.push(figures);
    }

    let measured = |case: &&Case| rounds[0].contains_key(&(**case, Driver::Ours));
    let cases = args.function.cases().iter().filter(measured);
    let rows: Vec<Row> = cases.map(|case| Row::new(*case, &rounds)).collect();
    println!("{}", table(&rows));
    let (ours, upstream) = args.function.modules();
    let json = serde_json::json!({ "schema": 1, "ours": ours, "upstream": upstream, "rounds": rounds.len(), "cases": rows });
    fs::write(&args.json, serde_json::to_string_pretty(&json)? + "\n")
        .with_context(|| format!("cannot write {}", args.json.display()))
}

fn table(rows: &[Row]) -> String {
    let header = [
        "case",
        "instructions per",
        "ours",
        "upstream",
        "ratio",
        "recorder",
    ];
    let cells = rows.iter().map(|row| {
        vec![
            row.name.clone(),
            row.unit.to_owned(),
            format!("{:.3}", row.ours),
            format!("{:.3}", row.upstream),
            format!("{:.3} ± {:.3}", row.ratio, row.spread.ratio),
            format!(
                "{:.2} ± {:.2} %",
                row.recorder_share * 100.0,
                row.spread.recorder_share * 100.0
            ),
        ]
    });
    tables::table(header, 2, cells).to_string()
}

/// The functions at both ends.
struct Ends {
    /// Interface of the other end.
    interface: String,
    /// PCI addresses of the functions under test: of our drivers, and of the distribution's. The emulated VF never
    /// forgets a vector assignment: on one that upstream's driver has had, queue interrupts would come to our driver
    /// twice, on two vectors.
    functions: [String; 2],
}

impl Ends {
    fn set_up(function: Kind) -> Result<Self> {
        match function {
            Kind::Vf => {
                let adapter = Adapter::set_up(0, 2, HostDriver::Igb)?;
                let [ours, upstream] = adapter.functions.as_slice() else {
                    bail!("{} has not made two virtual functions", adapter.address);
                };
                Ok(Self {
                    interface: adapter.interface,
                    functions: [ours.address.clone(), upstream.address.clone()],
                })
            }
            Kind::Pf => {
                let found = adapters()?;
                let [own, other] = found.as_slice() else {
                    bail!(
                        "two 82576 on one cable are needed; this machine has {}",
                        found.len()
                    );
                };
                bind(other, HostDriver::Igb.module())?;
                Ok(Self {
                    interface: nic::interface(other)?,
                    functions: [own.clone(), own.clone()],
                })
            }
        }
    }

    fn function(&self, driver: Driver) -> &str {
        &self.functions[usize::from(driver == Driver::Upstream)]
    }
}

/// All cases with one driver.
fn measure(
    args: &BenchArgs,
    idler: &Idler,
    ends: &Ends,
    driver: Driver,
) -> Result<Vec<(Case, f64)>> {
    let function = ends.function(driver);
    bind(function, driver.load(args)?)?;
    let device = Path::new(PCI).join(function);
    let interface = nic::interface(function)?;
    let address = format!("{ADDRESS}/24");
    run("ip", &["addr", "add", &address, "dev", &interface])?;
    run("ip", &["link", "set", &interface, "up"])?;
    wait_for(Duration::from_secs(20), "a link", || {
        let carrier = fs::read_to_string(format!("/sys/class/net/{interface}/carrier")).ok()?;
        (carrier.trim() == "1").then_some(())
    })?;
    // Neighbours are known before anything is counted.
    run(
        "ping",
        &["-q", "-c", "3", "-i", "0.2", "-W", "2", PEER_ADDRESS],
    )?;
    let mac = fs::read_to_string(format!("/sys/class/net/{interface}/address"))?;
    let mac = mac.trim();

    let mut results = Vec::new();
    let mut put = |case: Case, cost: f64| {
        eprintln!(
            "  {:16} {cost:10.3} instructions per {}",
            case.name(),
            case.unit()
        );
        results.push((case, cost));
    };
    let wanted = |case: Case| {
        args.only
            .as_ref()
            .is_none_or(|only| case.name().contains(only))
    };
    let receive = |flows| {
        let with = peer(|| pktgen(idler, &ends.interface, mac, args.frames, flows))?;
        let without = peer(|| pktgen(idler, &ends.interface, NOBODY, args.frames, flows))?;
        anyhow::Ok(with - without)
    };
    for case in args
        .function
        .cases()
        .iter()
        .copied()
        .filter(|case| wanted(*case))
    {
        let cost = match case {
            Case::Transmit64 => pktgen(idler, &interface, NOBODY, args.frames, 1),
            Case::Receive64 => receive(1),
            // Caches and page pools are filled before anything is counted.
            Case::StreamOut => stream(idler, args.bytes / 4, Direction::Out)
                .and_then(|_| stream(idler, args.bytes, Direction::Out)),
            Case::StreamIn => stream(idler, args.bytes / 4, Direction::In)
                .and_then(|_| stream(idler, args.bytes, Direction::In)),
            Case::Exchange => exchanges(idler, args.exchanges),
            Case::Queues(count) => {
                let (now, count) = (queues(&interface)?, count.to_string());
                if now != count {
                    run("ethtool", &["-L", &interface, "combined", &count])?;
                    run("ping", &["-q", "-c", "3", "-W", "2", PEER_ADDRESS])?;
                }
                receive(FLOWS)
            }
        };
        put(case, cost.with_context(|| case.name())?);
    }
    run("ip", &["link", "set", &interface, "down"])?;

    crate::host::write_sysfs(&device.join("driver/unbind"), function)?;
    driver.unload(args.function)?;
    Ok(results)
}

/// Queue pairs in use.
fn queues(interface: &str) -> Result<String> {
    let text = run("ethtool", &["-l", interface])?;
    // The limit comes first.
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Combined:"));
    Ok(line
        .context("ethtool -l names no queue pairs")?
        .trim()
        .to_owned())
}

/// Connections shall not take over what earlier ones have learnt about the path.
fn forget_connections() -> Result<()> {
    let path = Path::new("/proc/sys/net/ipv4/tcp_no_metrics_save");
    crate::host::write_sysfs(path, "1")
}

/// Runs `work` on a thread inside the physical function's network namespace.
fn peer<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    in_namespace(PEER, work)
}

/// Tells work from idleness: a thread of the lowest class turns a counter whenever nothing else wants the
/// processor. Each turn is the same few instructions, so what the turns do not account for is work.
struct Idler {
    turns: Arc<AtomicU64>,
    /// Instructions per turn.
    turn: f64,
}

impl Idler {
    fn start() -> Result<Self> {
        let turns = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&turns);
        let (ready, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let parameter = libc::sched_param { sched_priority: 0 };
            // SAFETY: Changes the class of the calling thread, from a valid structure.
            let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter) };
            let _ = ready.send(result);
            loop {
                counter.store(counter.load(Relaxed) + 1, Relaxed);
            }
        });
        if started.recv()? != 0 {
            bail!(
                "cannot make an idle thread: {}",
                std::io::Error::last_os_error()
            );
        }
        let mut idler = Self { turns, turn: 0.0 };
        let (time, turns) = (now()?, idler.turns.load(Relaxed));
        thread::sleep(Duration::from_millis(500));
        idler.turn = (now()? - time) / (idler.turns.load(Relaxed) - turns) as f64;
        Ok(idler)
    }

    /// Instructions of work so far.
    fn busy(&self) -> Result<f64> {
        Ok(now()? - self.turns.load(Relaxed) as f64 * self.turn)
    }
}

/// The clock, which counts instructions.
fn now() -> Result<f64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() as f64 * 1e9 + now.tv_nsec() as f64)
}

/// Sends 64-byte frames with the kernel's packet generator, from as many addresses by turns. Returns instructions per
/// frame.
fn pktgen(idler: &Idler, interface: &str, to: &str, frames: u64, flows: u8) -> Result<f64> {
    let folder = Path::new("/proc/thread-self/net/pktgen");
    let write = |file: &str, line: &str| -> Result<()> {
        let path = folder.join(file);
        fs::write(&path, format!("{line}\n")).with_context(|| {
            format!(
                "the packet generator refuses \"{line}\" ({})",
                path.display()
            )
        })
    };
    write("kpktgend_0", "rem_device_all")?;
    write("kpktgend_0", &format!("add_device {interface}"))?;
    for line in [
        &format!("count {frames}"),
        "delay 0",
        // The frame check sequence makes it 64.
        "pkt_size 60",
        "burst 1",
        "clone_skb 0",
        "dst 10.77.0.9",
        "src_min 10.77.1.0",
        &format!("src_max 10.77.1.{}", flows - 1),
        &format!("dst_mac {to}"),
    ] {
        write(interface, line)?;
    }
    let before = idler.busy()?;
    write("pgctrl", "start")?;
    let after = idler.busy()?;
    let result = fs::read_to_string(folder.join(interface))?;
    write("kpktgend_0", "rem_device_all")?;
    if !result.contains("Result: OK") {
        bail!("the packet generator failed on {interface}:\n{result}");
    }
    Ok((after - before) / frames as f64)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

/// Bytes of a socket's buffers. A window of that size fits into the rings, so that nothing is lost.
const BUFFER: usize = 256 * 1024;

fn address() -> Result<SockAddr> {
    let address: SocketAddr = format!("{PEER_ADDRESS}:{PORT}").parse()?;
    Ok(address.into())
}

/// A TCP socket whose buffers do not grow by themselves.
fn socket() -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    Ok(socket)
}

/// Connects the function's side with the physical function's and runs both ends. Returns the instructions
/// that both took together.
fn connected(
    idler: &Idler,
    near: impl FnOnce(TcpStream) -> Result<()> + Send,
    far: impl FnOnce(TcpStream) -> Result<()> + Send,
) -> Result<f64> {
    thread::scope(|scope| {
        let (ready, listening) = std::sync::mpsc::channel();
        let server = scope.spawn(move || -> Result<()> {
            enter_namespace(PEER)?;
            let listener = socket()?;
            listener.set_reuse_address(true)?;
            listener.bind(&address()?)?;
            listener.listen(1)?;
            ready.send(())?;
            far(listener.accept()?.0.into())
        });
        listening.recv().context("the peer cannot listen")?;
        let stream = socket()?;
        stream.connect(&address()?)?;
        let stream = TcpStream::from(stream);
        stream.set_nodelay(true)?;
        let before = idler.busy()?;
        near(stream)?;
        server
            .join()
            .map_err(|_| anyhow!("the peer's thread died"))??;
        Ok(idler.busy()? - before)
    })
}

fn send(mut stream: TcpStream, bytes: u64) -> Result<()> {
    let block = vec![0x5a; 128 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len() as u64) as usize;
        stream.write_all(&block[..now])?;
        left -= now as u64;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // Until the other side has everything.
    let mut end = [0];
    let _ = stream.read(&mut end)?;
    Ok(())
}

fn receive(mut stream: TcpStream, bytes: u64) -> Result<()> {
    let mut block = vec![0; 128 * 1024];
    let mut got = 0;
    loop {
        let now = stream.read(&mut block)?;
        if now == 0 {
            break;
        }
        got += now as u64;
    }
    if got != bytes {
        bail!("{got} of {bytes} bytes arrived");
    }
    Ok(())
}

/// A bulk stream. Returns instructions per byte.
fn stream(idler: &Idler, bytes: u64, direction: Direction) -> Result<f64> {
    let work = if direction == Direction::Out {
        connected(idler, |s| send(s, bytes), |s| receive(s, bytes))?
    } else {
        connected(idler, |s| receive(s, bytes), |s| send(s, bytes))?
    };
    Ok(work / bytes as f64)
}

/// Single bytes there and back. Returns instructions per exchange.
fn exchanges(idler: &Idler, count: u64) -> Result<f64> {
    let near = |mut stream: TcpStream| -> Result<()> {
        let mut byte = [1];
        for _ in 0..count {
            stream.write_all(&byte)?;
            stream.read_exact(&mut byte)?;
        }
        Ok(())
    };
    let far = |mut stream: TcpStream| -> Result<()> {
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while stream.read(&mut byte)? != 0 {
            stream.write_all(&byte)?;
        }
        Ok(())
    };
    Ok(connected(idler, near, far)? / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(middle(vec![5.0]), (5.0, 0.0));
        assert_eq!(middle(vec![9.0, 1.0, 3.0, 5.0, 4.0]), (4.0, 1.0));
        assert_eq!(middle(vec![2.0, 1.0]), (1.5, 0.25));
    }

    #[test]
    fn the_share_compares_neighbours() {
        let round = |ours, without| {
            BTreeMap::from([
                ((Case::StreamIn, Driver::Ours), ours),
                ((Case::StreamIn, Driver::WithoutRecorder), without),
                ((Case::StreamIn, Driver::Upstream), 2.0 * ours),
            ])
        };
        // What all drivers gain or lose from round to round does not count.
        let rounds = [round(100.0, 99.0), round(200.0, 198.0), round(50.0, 49.5)];
        let row = Row::new(Case::StreamIn, &rounds);
        assert!((row.recorder_share - 0.01).abs() < 1e-9 && row.spread.recorder_share < 1e-9);
        assert_eq!((row.ours, row.ratio), (100.0, 0.5));
    }
}
