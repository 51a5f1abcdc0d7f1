// SPDX-License-Identifier: GPL-2.0

//! Network namespaces and traffic for tests on this machine's functions.

use crate::host::in_namespace;
use crate::host::nic::wait_for;
use crate::host::run;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::collections::BTreeMap;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

/// Port of the iperf3 servers.
const PORT: &str = "5978";

/// A network namespace, or the machine's own.
#[derive(Clone, Copy, Debug)]
pub struct Space(pub Option<&'static str>);

impl Space {
    /// Makes the namespace, with its loopback device up.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn make(name: &'static str) -> Result<Self> {
        run("ip", &["netns", "add", name])?;
        let space = Self(Some(name));
        space.run("ip", &["link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// The arguments that run a program here, the program first.
    fn words<'a>(&self, program: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut words = match self.0 {
            Some(name) => vec!["ip", "netns", "exec", name],
            None => Vec::new(),
        };
        words.push(program);
        words.extend_from_slice(arguments);
        words
    }

    /// Runs a program here and returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let words = self.words(program, arguments);
        run(words[0], &words[1..])
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let words = self.words(program, arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }

    /// Does something here, on a thread of its own unless here is the machine's namespace.
    ///
    /// # Errors
    ///
    /// Those of `work`, or if there is no such namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self.0 {
            Some(name) => in_namespace(name, work),
            None => work(),
        }
    }

    /// Moves an interface here.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn take(&self, interface: &str) -> Result<()> {
        let Some(name) = self.0 else { return Ok(()) };
        run("ip", &["link", "set", interface, "netns", name]).map(|_| ())
    }

    /// Gives an interface an address (with the length of its prefix), brings it up and waits for its link.
    ///
    /// # Errors
    ///
    /// If the link does not come up within 20 seconds.
    pub fn up(&self, interface: &str, address: &str) -> Result<()> {
        self.run("ip", &["addr", "replace", address, "dev", interface])?;
        self.run("ip", &["link", "set", interface, "up"])?;
        wait_for(Duration::from_secs(20), "a link", || {
            (self.attribute(interface, "carrier").ok()? == "1").then_some(())
        })
        .with_context(|| interface.to_owned())
    }

    /// Puts an interface on top of another one, of a kind that iproute2 knows.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn add_link(&self, lower: &str, name: &str, kind: &[&str]) -> Result<()> {
        let add = ["link", "add", "link", lower, "name", name];
        self.run("ip", &[&add, kind].concat()).map(|_| ())
    }

    /// An attribute of an interface.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn attribute(&self, interface: &str, name: &str) -> Result<String> {
        let path = format!("/sys/class/net/{interface}/{name}");
        Ok(self.run("cat", &[&path])?.trim().to_owned())
    }

    /// All of `count` echo requests are answered, with `size` bytes of data that must not be fragmented.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn ping(&self, target: &str, count: u32, size: u32) -> Result<()> {
        let (count, size) = (count.to_string(), size.to_string());
        self.run(
            "ping",
            &[
                "-q", "-c", &count, "-i", "0.05", "-W", "2", "-M", "do", "-s", &size, target,
            ],
        )
        .map(|_| ())
    }

    /// Waits for an answer to an echo request.
    ///
    /// # Errors
    ///
    /// If none comes in time.
    pub fn answer(&self, target: &str, patience: Duration) -> Result<()> {
        wait_for(patience, "an answer", || {
            self.run("ping", &["-q", "-c", "1", "-W", "1", target]).ok()
        })
        .map(|_| ())
    }

    /// TCP streams, together `megabytes` MB, from here to `target` in `server`, or back.
    ///
    /// # Errors
    ///
    /// If one breaks.
    pub fn stream(
        &self,
        server: Self,
        target: &str,
        megabytes: u32,
        streams: u32,
        back: bool,
    ) -> Result<()> {
        let mut iperf = Iperf::start(server, target)?;
        let (size, streams) = (format!("{megabytes}M"), streams.to_string());
        let mut arguments = vec!["-c", target, "-p", PORT, "-n", &size, "-P", &streams];
        if back {
            arguments.push("-R");
        }
        let result = self.run("iperf3", &arguments).map(|_| ());
        iperf.stop();
        result
    }

    /// What `ethtool -S` shows.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn statistics(&self, interface: &str) -> Result<BTreeMap<String, u64>> {
        Ok(self
            .run("ethtool", &["-S", interface])?
            .lines()
            .filter_map(|line| {
                let (name, value) = line.trim().split_once(": ")?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect())
    }
}

/// An iperf3 server for one client.
struct Iperf(Child);

impl Iperf {
    fn start(space: Space, address: &str) -> Result<Self> {
        let child = space
            .command("iperf3", &["-s", "-1", "-p", PORT, "-B", address])
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run iperf3")?;
        let server = Self(child);
        wait_for(Duration::from_secs(10), "iperf3 to listen", || {
            let text = space.run("ss", &["-Hltn", "sport", "=", PORT]).ok()?;
            (!text.trim().is_empty()).then_some(())
        })?;
        Ok(server)
    }

    fn stop(&mut self) {
        // It ends by itself after one client; a failed client may leave it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Echo requests every 10 ms in the background, to be counted at the end.
#[derive(Debug)]
pub struct Flow(Child);

impl Flow {
    /// Starts from `space` to `target`.
    ///
    /// # Errors
    ///
    /// If `ping` cannot be started.
    pub fn start(space: Space, target: &str) -> Result<Self> {
        Self::ping(space, &["-q", "-i", "0.01", target])
    }

    /// The same as fast as answers come, and at least as often.
    ///
    /// # Errors
    ///
    /// If `ping` cannot be started.
    pub fn flood(space: Space, target: &str) -> Result<Self> {
        Self::ping(space, &["-q", "-f", target])
    }

    fn ping(space: Space, arguments: &[&str]) -> Result<Self> {
        let child = space
            .command("ping", arguments)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run ping")?;
        Ok(Self(child))
    }

    /// Ends it. Returns requests, answers and duplicates.
    ///
    /// # Errors
    ///
    /// If `ping` has died.
    pub fn stop(self) -> Result<(u64, u64, u64)> {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.0.id())?),
            nix::sys::signal::Signal::SIGINT,
        )?;
        let text = String::from_utf8_lossy(&self.0.wait_with_output()?.stdout).into_owned();
        let number = |after: &str| -> u64 {
            text.split(", ")
                .flat_map(|part| part.split('\n'))
                .find_map(|part| part.trim().strip_suffix(after)?.trim().parse().ok())
                .unwrap_or(0)
        };
        Ok((
            number("packets transmitted"),
            number("received"),
            number("duplicates").max(number("+duplicates")),
        ))
    }
}

/// Fails unless two values are the same.
///
/// # Errors
///
/// With both values.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, before: &T, after: &T) -> Result<()> {
    if before != after {
        bail!("{what} was {before:?} and is {after:?}");
    }
    Ok(())
}

/// Fails if a value of `after` is below that of `before`.
///
/// # Errors
///
/// With its name.
pub fn monotonic(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Result<()> {
    for (name, old) in before {
        let new = after.get(name).copied().unwrap_or(0);
        if new < *old {
            bail!("{name} went back from {old} to {new}");
        }
    }
    Ok(())
}

/// What no test may leave in the kernel's log, in the part of it after the first `marks` bytes.
///
/// # Errors
///
/// With the lines.
pub fn clean_log(log: &str, marks: usize) -> Result<()> {
    let bad = compsc_kernel_log::complaints(log.get(marks..).unwrap_or(log));
    same("the list of complaints", &Vec::new(), &bad)
}
