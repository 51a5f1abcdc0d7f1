// SPDX-License-Identifier: GPL-2.0

//! Programs of XDP in a driver under test, over restores: for the suites of both functions.

use super::net::Flow;
use super::net::Space;
use super::net::same;
use crate::host::bpf;
use crate::host::bpf::Attached;
use crate::host::bpf::Program;
use crate::host::bpf::Verdict;
use crate::host::netdev_genl;
use crate::host::netdev_genl::command;
use crate::host::netdev_genl::device;
use crate::host::netdev_genl::page_pool;
use crate::host::nic::wait_for;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::thread;
use std::time::Duration;

/// Namespace behind the function, with a pair of interfaces between.
const BEHIND: &str = "xdp-behind";
const NEAR: &str = "xdp0";
const FAR: &str = "xdp1";

/// Frames of this many bytes take several buffers.
const LONG_MTU: &str = "4000";

/// What is tested.
pub struct Subject<'a> {
    /// The function's namespace, interface and address.
    pub space: Space,
    /// As above.
    pub interface: &'a str,
    /// As above.
    pub address: &'a str,
    /// Who sends to it.
    pub peer: Space,
    /// How often it is restored under traffic.
    pub restores: u32,
    /// Restores it.
    pub restore: &'a dyn Fn() -> Result<()>,
    /// Requests that may be lost in a restore.
    pub lost: u64,
}

impl Subject<'_> {
    /// Number of an interface in the function's namespace.
    fn ifindex(&self, interface: &str) -> Result<u32> {
        Ok(self.space.attribute(interface, "ifindex")?.parse()?)
    }

    /// Attaches a program to an interface of a namespace.
    fn attach(space: Space, program: &Program, interface: &str) -> Result<Attached> {
        let ifindex = space.attribute(interface, "ifindex")?.parse()?;
        space.within(|| program.attach(ifindex))
    }

    /// Sum of a statistic over the queues.
    fn sum(&self, name: &str) -> Result<u64> {
        let stats = self.space.statistics(self.interface)?;
        let mut values = stats
            .iter()
            .filter(|(key, _)| key.starts_with("queue_") && key.ends_with(&format!("_{name}")))
            .map(|(_, value)| *value)
            .peekable();
        values
            .peek()
            .with_context(|| format!("no statistic {name}"))?;
        Ok(values.sum())
    }

    /// Restores under traffic of the peer, some of it as fast as it can: requests are answered, but for what a restore
    /// may lose, and none twice. Returns the number of answers.
    fn restored(&self) -> Result<u64> {
        let flow = Flow::start(self.peer, self.address)?;
        let flood = Flow::flood(self.peer, self.address)?;
        for i in 0..self.restores {
            thread::sleep(Duration::from_millis(50));
            (self.restore)().with_context(|| format!("restore {}", i + 1))?;
        }
        thread::sleep(Duration::from_millis(500));
        let (_, flooded, flood_duplicates) = flood.stop()?;
        let (sent, received, duplicates) = flow.stop()?;
        if duplicates + flood_duplicates != 0 {
            bail!("{duplicates} and {flood_duplicates} answers came twice");
        }
        if received == 0 || received + self.lost * u64::from(self.restores) < sent {
            bail!(
                "{received} of {sent} requests answered over {} restores",
                self.restores
            );
        }
        Ok(received + flooded)
    }

    /// Statistics have grown over `work` by at least what it returns.
    fn counted(&self, names: &[&str], work: impl FnOnce() -> Result<u64>) -> Result<()> {
        let sums = || -> Result<Vec<u64>> { names.iter().map(|name| self.sum(name)).collect() };
        let before = sums()?;
        let least = work()?;
        for ((name, before), after) in names.iter().zip(before).zip(sums()?) {
            if after - before < least {
                bail!("{name} has grown by {}, not by {least}", after - before);
            }
        }
        Ok(())
    }

    /// Runs `work`, during which a statistic does not change.
    fn unchanged<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = self.sum(name)?;
        let result = work()?;
        same(name, &before, &self.sum(name)?)?;
        Ok(result)
    }

    /// The peer's requests remain without an answer. Returns their number.
    fn silent(&self, count: u64) -> Result<u64> {
        let requests = count.to_string();
        let ping = ["-q", "-c", &requests, "-i", "0.02", "-W", "1", self.address];
        match self.peer.run("ping", &ping) {
            Ok(_) => bail!("{} answers", self.address),
            Err(_) => Ok(count),
        }
    }

    fn answers(&self) -> Result<()> {
        self.peer.ping(self.address, 10, 56)
    }

    /// Frames that a program drops, or fails on, are gone and counted.
    fn dropped(&self) -> Result<()> {
        for (verdict, name) in [
            (Verdict::Drop, "rx_xdp_drop"),
            (Verdict::Aborted, "rx_xdp_aborted"),
            (Verdict::Invalid, "rx_xdp_aborted"),
        ] {
            let program = Program::load(&bpf::always(verdict), false)?;
            let attached = Self::attach(self.space, &program, self.interface)?;
            self.counted(&[name], || self.silent(20))?;
            drop(attached);
            self.answers().context("when it is taken off")?;
        }
        let program = Program::load(&bpf::always(Verdict::Pass), false)?;
        let _attached = Self::attach(self.space, &program, self.interface)?;
        self.counted(&["rx_xdp_pass"], || {
            self.answers()?;
            Ok(10)
        })
    }

    /// A program answers for the stack, which is told not to.
    fn sent_back(&self) -> Result<()> {
        let ignore = |on: &str| {
            let setting = format!("net.ipv4.icmp_echo_ignore_all={on}");
            self.space.run("sysctl", &["-qw", &setting]).map(|_| ())
        };
        let program = Program::load(&bpf::echo(), false)?;
        ignore("1")?;
        let attached = Self::attach(self.space, &program, self.interface);
        let result = attached.and_then(|_attached| {
            self.answers()?;
            self.counted(&["rx_xdp_tx"], || self.restored())
        });
        ignore("0")?;
        result?;
        self.answers().context("when it is taken off")
    }

    /// Programs hand all frames to a namespace behind the function, and back.
    fn redirected(&self) -> Result<()> {
        let behind = Space::make(BEHIND)?;
        let make = ["link", "add", NEAR, "type", "veth", "peer", "name", FAR];
        self.space
            .run("ip", &[&make[..], &["netns", BEHIND]].concat())?;
        let mac = self.space.attribute(self.interface, "address")?;
        behind.run("ip", &["link", "set", FAR, "address", &mac])?;
        // A frame has no description of what is still to be done to it.
        behind.run("ethtool", &["-K", FAR, "tx", "off"])?;
        self.space.run("ip", &["link", "set", NEAR, "up"])?;
        behind.up(FAR, &format!("{}/24", self.address))?;

        let load = |code: Vec<_>| Program::load(&code, false);
        let pass = load(bpf::always(Verdict::Pass))?;
        let out = load(bpf::redirect(self.ifindex(self.interface)?))?;
        let into = load(bpf::redirect(self.ifindex(NEAR)?))?;
        let attached = [
            Self::attach(behind, &pass, FAR)?,
            Self::attach(self.space, &out, NEAR)?,
            Self::attach(self.space, &into, self.interface)?,
        ];
        self.answers().context("from behind")?;
        self.counted(&["rx_xdp_redirect", "tx_xdp_xmit"], || self.restored())?;
        drop(attached);
        self.space.run("ip", &["link", "del", NEAR])?;
        crate::host::run("ip", &["netns", "del", BEHIND])?;
        self.answers().context("when they are taken off")
    }

    /// A program that takes one buffer has no frames of several, whichever comes first.
    fn fits_the_mtu(&self) -> Result<()> {
        let set_mtu = |mtu: &str| {
            let arguments = ["link", "set", self.interface, "mtu", mtu];
            self.space.run("ip", &arguments).map(|_| ())
        };
        let small = Program::load(&bpf::always(Verdict::Pass), false)?;
        let large = Program::load(&bpf::always(Verdict::Pass), true)?;
        let attached = Self::attach(self.space, &small, self.interface)?;
        if set_mtu(LONG_MTU).is_ok() {
            bail!("MTU {LONG_MTU} was accepted with a program of one buffer");
        }
        drop(attached);
        set_mtu(LONG_MTU)?;
        let refused = Self::attach(self.space, &small, self.interface);
        let taken = Self::attach(self.space, &large, self.interface);
        set_mtu("1500")?;
        if refused.is_ok() {
            bail!("a program of one buffer was accepted with MTU {LONG_MTU}");
        }
        taken.map(drop)
    }

    /// What the driver says it can do: all but zero copy, hardware offload.
    fn features(&self) -> Result<()> {
        let ifindex = self.ifindex(self.interface)?;
        let all = self
            .space
            .within(|| netdev_genl::dump(command::DEV_GET, &[]))?;
        let features = all
            .iter()
            .find(|d| d.get(&device::IFINDEX) == Some(&ifindex.into()))
            .and_then(|d| d.get(&device::XDP_FEATURES));
        same(
            "features",
            &Some(
                &(device::BASIC
                    | device::REDIRECT
                    | device::NDO_XMIT
                    | device::RX_SG
                    | device::NDO_XMIT_SG),
            ),
            &features,
        )
    }

    /// The pages of rings that are no more have all come back.
    fn no_page_is_missing(&self) -> Result<()> {
        let ifindex = self.ifindex(self.interface)?;
        self.space
            .run("ip", &["link", "set", self.interface, "down"])?;
        let result = wait_for(Duration::from_secs(20), "all pages", || {
            let pools = self
                .space
                .within(|| netdev_genl::dump(command::PAGE_POOL_GET, &[]))
                .ok()?;
            let ours =
                |p: &&netdev_genl::Object| p.get(&page_pool::IFINDEX) == Some(&ifindex.into());
            (pools.iter().filter(ours).count() == 0).then_some(())
        });
        self.space
            .run("ip", &["link", "set", self.interface, "up"])?;
        result?;
        self.peer.answer(self.address, Duration::from_secs(20))
    }

    /// All of it. The link stays, restores are not counted as its changes, and no program outlives the test.
    pub fn test(&self) -> Result<()> {
        self.features().context("features")?;
        let marker = Program::load(&bpf::always(Verdict::Pass), false)?;
        let id = marker.id()?;
        drop(Self::attach(self.space, &marker, self.interface)?);
        drop(marker);
        wait_for(Duration::from_secs(10), "the end of a program", || {
            bpf::gone(id).ok()
        })?;

        let carrier = || self.space.attribute(self.interface, "carrier_changes");
        let before = carrier()?;
        self.dropped().context("dropping")?;
        self.unchanged("rx_xdp_tx_errors", || self.sent_back())
            .context("sending back")?;
        self.unchanged("rx_xdp_redirect_errors", || self.redirected())
            .context("redirecting")?;
        same("carrier changes", &before, &carrier()?)?;
        self.fits_the_mtu().context("MTU")?;
        self.no_page_is_missing().context("leaks")
    }
}
