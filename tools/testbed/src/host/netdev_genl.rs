// SPDX-License-Identifier: GPL-2.0

//! What the kernel tells of a network device's queues over netlink: Documentation/netlink/specs/netdev.yaml of the
//! kernel, from which the numbers are.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;
use neli::genl::AttrTypeBuilder;
use neli::genl::Genlmsghdr;
use neli::genl::GenlmsghdrBuilder;
use neli::genl::NlattrBuilder;
use neli::genl::NoUserHeader;
use neli::nl::NlPayload;
use neli::nl::NlmsghdrBuilder;
use neli::router::synchronous::NlRouter;
use neli::socket::synchronous::NlSocketHandle;
use neli::types::Buffer;
use neli::types::GenlBuffer;
use neli::utils::Groups;
use std::collections::BTreeMap;

/// One object of a dump: its numbers by attribute.
pub type Object = BTreeMap<u16, u64>;

/// Commands.
pub mod command {
    /// Devices.
    pub const DEV_GET: u8 = 1;
    /// Page pools of all devices.
    pub const PAGE_POOL_GET: u8 = 5;
    /// Queues of a device.
    pub const QUEUE_GET: u8 = 10;
    /// Its NAPI instances.
    pub const NAPI_GET: u8 = 11;
    /// Its statistics.
    pub const QSTATS_GET: u8 = 12;
}

/// Attributes of a device.
pub mod device {
    /// Its number.
    pub const IFINDEX: u16 = 1;
    /// What its driver can do for programs of XDP, the bits below.
    pub const XDP_FEATURES: u16 = 3;
    /// Pass, drop, send back, abort.
    pub const BASIC: u64 = 1 << 0;
    /// Send elsewhere.
    pub const REDIRECT: u64 = 1 << 1;
    /// Take frames from elsewhere.
    pub const NDO_XMIT: u64 = 1 << 2;
    /// Programs that take frames of several buffers.
    pub const RX_SG: u64 = 1 << 5;
    /// Take such frames from elsewhere.
    pub const NDO_XMIT_SG: u64 = 1 << 6;
}

/// Attributes of a page pool.
pub mod page_pool {
    /// Of the device.
    pub const IFINDEX: u16 = 2;
}

/// Attributes of a queue.
pub mod queue {
    /// Number within its type.
    pub const ID: u16 = 1;
    /// Of the device.
    pub const IFINDEX: u16 = 2;
    /// 0: receive, 1: transmit.
    pub const TYPE: u16 = 3;
    /// Its NAPI instance.
    pub const NAPI_ID: u16 = 4;
}

/// Attributes of a NAPI instance.
pub mod napi {
    /// Of the device.
    pub const IFINDEX: u16 = 1;
    /// Number of the instance.
    pub const ID: u16 = 2;
    /// Its interrupt.
    pub const IRQ: u16 = 3;
}

/// Attributes of statistics.
pub mod qstats {
    /// Of the device.
    pub const IFINDEX: u16 = 1;
    /// As [`super::queue::TYPE`].
    pub const QUEUE_TYPE: u16 = 2;
    /// What one object is about: the device, or with [`SCOPE_QUEUE`] a queue.
    pub const SCOPE: u16 = 4;
    /// See [`SCOPE`].
    pub const SCOPE_QUEUE: u32 = 1;
    /// Counters by their names in `/sys/class/net/…/statistics`.
    pub const COUNTERS: [(&str, u16); 4] = [
        ("rx_packets", 8),
        ("rx_bytes", 9),
        ("tx_packets", 10),
        ("tx_bytes", 11),
    ];
}

/// All objects that a command dumps, if they have these attributes. Asks the calling thread's network namespace.
///
/// # Errors
///
/// If the kernel does not know the family, the command or an attribute.
pub fn dump(command: u8, request: &[(u16, u32)]) -> Result<Vec<Object>> {
    let (router, _) = NlRouter::connect(NlFamily::Generic, None, Groups::empty())?;
    let family = router
        .resolve_genl_family("netdev")
        .context("the kernel has no netlink family netdev")?;
    let attributes = request
        .iter()
        .map(|&(kind, value)| {
            let kind = AttrTypeBuilder::default().nla_type(kind).build()?;
            let attribute = NlattrBuilder::default().nla_type(kind).nla_payload(value);
            Ok(attribute.build()?)
        })
        .collect::<Result<GenlBuffer<u16, Buffer>>>()?;
    let message = GenlmsghdrBuilder::<u8, u16, NoUserHeader>::default()
        .cmd(command)
        .version(1)
        .attrs(attributes)
        .build()?;
    // This family does not mark the parts of a dump as such (NLM_F_MULTI), without which the router takes the first
    // one for all.
    let socket = NlSocketHandle::connect(NlFamily::Generic, None, Groups::empty())?;
    let request = NlmsghdrBuilder::default()
        .nl_type(family)
        .nl_flags(NlmF::REQUEST | NlmF::DUMP)
        .nl_payload(NlPayload::Payload(message))
        .build()?;
    socket.send(&request)?;
    let mut objects = Vec::new();
    loop {
        let (answers, _) = socket.recv::<u16, Genlmsghdr<u8, u16>>()?;
        for answer in answers {
            let answer = answer.with_context(|| format!("the netlink command {command}"))?;
            match answer.nl_payload() {
                NlPayload::Payload(object) if *answer.nl_type() == family => {
                    objects.push(numbers(object));
                }
                NlPayload::Err(e) => bail!("the netlink command {command}: {e}"),
                _ if i32::from(*answer.nl_type()) == libc::NLMSG_DONE => return Ok(objects),
                _ => {}
            }
        }
    }
}

/// Numbers are of 32 or 64 bits, as they need; whatever else there is is none.
fn numbers(object: &Genlmsghdr<u8, u16>) -> Object {
    object
        .attrs()
        .iter()
        .filter_map(|attribute| {
            let payload: &[u8] = attribute.nla_payload().as_ref();
            let value = match payload.len() {
                4 => u32::from_ne_bytes(payload.try_into().ok()?).into(),
                8 => u64::from_ne_bytes(payload.try_into().ok()?),
                _ => return None,
            };
            Some((*attribute.nla_type().nla_type(), value))
        })
        .collect()
}
