// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks of the network stack: packets, NAPI, network devices.

pub mod skb;
pub mod xdp;

pub use skb::Skb;

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A NAPI instance, pinned inside its queue pair.
#[repr(transparent)]
pub struct Napi(Opaque<bindings::napi_struct>);

// SAFETY: The C functions that take it do their own locking.
unsafe impl Send for Napi {}
// SAFETY: As above.
unsafe impl Sync for Napi {}

impl Napi {
    /// An instance that is not registered yet.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Opaque::zeroed())
    }

    /// The C structure.
    #[inline(always)]
    pub fn as_raw(&self) -> *mut bindings::napi_struct {
        self.0.get()
    }

    /// The network device that the instance was registered with.
    pub fn netdev(&self) -> *mut bindings::net_device {
        // SAFETY: The field is set at registration, and to the same each time.
        unsafe { (*self.as_raw()).dev }
    }

    /// Registers the instance.
    ///
    /// # Safety
    ///
    /// The instance is pinned and outlives its registration, `netdev` is valid, and `poll` may be
    /// called with this instance from then on.
    pub unsafe fn register(
        &self,
        netdev: *mut bindings::net_device,
        poll: unsafe extern "C" fn(*mut bindings::napi_struct, c_int) -> c_int,
        index: usize,
    ) {
        // SAFETY: By this function's requirements.
        // CAST: Queue numbers are small.
        unsafe { bindings::compsc_netif_napi_add(netdev, self.as_raw(), Some(poll), index as i32) }
    }

    /// Ends the registration. The instance is disabled.
    ///
    /// # Safety
    ///
    /// The instance is registered.
    pub unsafe fn unregister(&self) {
        // SAFETY: By this function's requirement.
        unsafe { bindings::compsc_netif_napi_del(self.as_raw()) }
    }

    /// Names the interrupt that schedules the instance.
    pub fn set_irq(&self, irq: u32) {
        // CAST: Interrupt numbers are small.
        // SAFETY: The instance is registered.
        unsafe { bindings::compsc_netif_napi_set_irq(self.as_raw(), irq as i32) }
    }

    /// Names the queue pair that the instance polls, for users (netdev-genl, busy polling), or says that nobody polls
    /// it any more.
    ///
    /// # Safety
    ///
    /// The instance is registered, its network device has that queue pair, and is not registered yet unless the caller
    /// holds RTNL.
    pub unsafe fn set_queues(&self, index: u32, polled: bool) {
        let napi = if polled {
            self.as_raw()
        } else {
            core::ptr::null_mut()
        };
        for direction in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            // SAFETY: By this function's requirement.
            unsafe { bindings::netif_queue_set_napi(self.netdev(), index, direction, napi) };
        }
    }

    /// Allows polling. Sleeps.
    pub fn enable(&self) {
        // SAFETY: The instance is registered and disabled.
        unsafe { bindings::napi_enable(self.as_raw()) }
    }

    /// Waits for the poll that runs, and allows no further one: the caller owns the instance
    /// afterwards. Sleeps.
    pub fn disable(&self) {
        // SAFETY: The instance is registered and enabled.
        unsafe { bindings::napi_disable(self.as_raw()) }
    }

    /// Has the instance polled.
    pub fn schedule(&self) {
        let _bh = BottomHalvesOff::new();
        // SAFETY: The instance is registered.
        unsafe { bindings::compsc_napi_schedule(self.as_raw()) };
    }

    /// Has the instance polled, from an interrupt handler.
    #[inline(always)]
    pub fn schedule_from_irq(&self) {
        // SAFETY: The instance is registered; interrupts are off in a handler.
        unsafe { bindings::compsc_napi_schedule_irqoff(self.as_raw()) }
    }

    /// Ends a poll. Returns whether the interrupt may be unmasked.
    #[inline(always)]
    pub fn complete(&self, work: u32) -> bool {
        // CAST: Work is at most the budget.
        // SAFETY: The instance is being polled by the caller.
        unsafe { bindings::napi_complete_done(self.as_raw(), work as i32) }
    }

    /// Hands a received packet to the stack.
    #[inline(always)]
    pub fn receive(&self, mut skb: Skb, queue: usize) {
        // SAFETY: The packet is owned and holds an Ethernet frame; its device is valid.
        unsafe {
            let protocol = bindings::eth_type_trans(skb.as_raw(), self.netdev());
            skb.set_protocol(protocol);
            if skb.is_group_addressed() && skb.source() == netdev_address(self.netdev()) {
                // The function's switch sends multicast back to its sender.
                return;
            }
            // CAST: Queue numbers are small; 0 means "not recorded".
            (*skb.as_raw()).queue_mapping = queue as u16 + 1;
            bindings::compsc_napi_gro_receive(self.as_raw(), skb.into_raw());
        }
    }
}

/// MAC address of an Ethernet device.
///
/// # Safety
///
/// The device is valid.
pub unsafe fn netdev_address(netdev: *const bindings::net_device) -> [u8; 6] {
    // SAFETY: By this function's requirement; an Ethernet address has six bytes.
    unsafe { (*netdev).dev_addr.cast::<[u8; 6]>().read() }
}

/// The machine's hash key for receive side scaling: random, and the same for all devices.
pub fn rss_key<const N: usize>() -> [u8; N] {
    let mut key = [0; N];
    // SAFETY: The function writes that many bytes.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), N) };
    key
}

/// Bottom halves stay disabled on this CPU while this exists.
pub struct BottomHalvesOff(());

impl BottomHalvesOff {
    /// Disables them.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Self {
        // SAFETY: Undone when dropped, on the same CPU: the caller cannot sleep meanwhile.
        unsafe { bindings::compsc_local_bh_disable() };
        Self(())
    }
}

impl Drop for BottomHalvesOff {
    fn drop(&mut self) {
        // SAFETY: Disabled by `new`.
        unsafe { bindings::compsc_local_bh_enable() };
    }
}

/// RTNL, the lock of network configuration, is held while this exists.
pub struct Rtnl(());

impl Rtnl {
    /// Takes the lock. Sleeps.
    pub fn lock() -> Self {
        // SAFETY: Released when dropped.
        unsafe { bindings::rtnl_lock() };
        Self(())
    }
}

impl Drop for Rtnl {
    fn drop(&mut self) {
        // SAFETY: Taken by `lock`.
        unsafe { bindings::rtnl_unlock() };
    }
}

/// An Ethernet device that is not registered, or was unregistered, when it is dropped.
pub struct EtherDev(NonNull<bindings::net_device>);

// SAFETY: The C functions that take it do their own locking.
unsafe impl Send for EtherDev {}
// SAFETY: As above.
unsafe impl Sync for EtherDev {}

impl EtherDev {
    /// Allocates a device with `private` bytes for its driver and `queues` queues in each direction.
    pub fn new(private: usize, queues: usize) -> Result<Self> {
        // CAST: Both are small constants.
        // SAFETY: Allocates memory, nothing else.
        let raw =
            unsafe { bindings::alloc_etherdev_mqs(private as i32, queues as u32, queues as u32) };
        NonNull::new(raw).map(Self).ok_or(ENOMEM)
    }

    /// The C structure.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut bindings::net_device {
        self.0.as_ptr()
    }
}

impl Drop for EtherDev {
    fn drop(&mut self) {
        // SAFETY: Allocated by `new`, and not registered.
        unsafe { bindings::free_netdev(self.as_ptr()) };
    }
}
