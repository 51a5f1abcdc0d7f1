// SPDX-License-Identifier: GPL-2.0

//! The software switch behind paravirtual interfaces: a bridge with the adapter and two taps.

use super::nic::modprobe;
use super::run;
use anyhow::Context;
use anyhow::Result;

const NAME: &str = "tbbr";
/// A tap for the QEMU process that runs the guest, and one for that which waits for it.
const TAPS: [&str; 2] = ["tbtap0", "tbtap1"];

/// A bridge between the adapter's interface and two taps, with the adapter's MAC and IP address.
///
/// Dropping it gives the address back.
#[derive(Debug)]
pub struct Bridge {
    interface: String,
    address: String,
}

impl Bridge {
    /// Puts `interface`, whose address is `address`, into a bridge.
    ///
    /// # Errors
    ///
    /// If the kernel lacks a module or `ip` fails.
    pub fn set_up(interface: &str, address: &str, mtu: u32) -> Result<Self> {
        for module in ["tun", "vhost-net", "bridge"] {
            modprobe(module, &[])?;
        }
        // One that a killed run has left.
        let _ = run("ip", &["link", "del", NAME]);
        let mac = std::fs::read_to_string(format!("/sys/class/net/{interface}/address"))
            .with_context(|| format!("{interface} has no address"))?;
        let mtu = mtu.to_string();
        let new = Self {
            interface: interface.to_owned(),
            address: address.to_owned(),
        };
        // The guest's first exchange must not wait for the spanning tree.
        let bridge = ["type", "bridge", "forward_delay", "0", "stp_state", "0"];
        let named = ["link", "add", NAME, "address", mac.trim()];
        run("ip", &[&named[..], &bridge[..]].concat())?;
        for tap in TAPS {
            let _ = run("ip", &["link", "del", tap]);
            run("ip", &["tuntap", "add", tap, "mode", "tap", "vnet_hdr"])?;
        }
        for port in TAPS.into_iter().chain([interface]) {
            run(
                "ip",
                &["link", "set", port, "master", NAME, "mtu", &mtu, "up"],
            )?;
        }
        run("ip", &["addr", "del", address, "dev", interface])?;
        run("ip", &["addr", "add", address, "dev", NAME])?;
        run("ip", &["link", "set", NAME, "mtu", &mtu, "up"])?;
        Ok(new)
    }

    /// The tap of the QEMU process number `generation`.
    pub const fn tap(&self, generation: usize) -> &'static str {
        TAPS[generation % TAPS.len()]
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Whatever is missing here was never made, or the machine is going down.
        for name in TAPS.into_iter().chain([NAME]) {
            let _ = run("ip", &["link", "del", name]);
        }
        let _ = run(
            "ip",
            &["addr", "replace", &self.address, "dev", &self.interface],
        );
    }
}
