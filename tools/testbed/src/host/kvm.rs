// SPDX-License-Identifier: GPL-2.0

//! A virtual processor that never runs, so that KVM's code stays as it is.
//!
//! KVM counts local APICs that software has switched off, as each is until its guest's kernel comes up, and patches
//! its own code when the first one comes and some time after the last one has gone. In QEMU's emulator another processor may run
//! into the breakpoint of such a patch when nobody knows it any more: "Oops: int3" in `kvm_arch_vcpu_ioctl_run()`, seen once.
//! While there is an APIC that stays off, nothing is patched.

use anyhow::Context;
use anyhow::Result;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

/// Number of KVM's requests.
const KVM: u8 = 0xae;

nix::ioctl_write_int_bad!(
    /// Makes a virtual machine, of a type.
    create_vm,
    nix::request_code_none!(KVM, 0x01)
);
nix::ioctl_write_int_bad!(
    /// Gives its processors local APICs.
    create_irqchip,
    nix::request_code_none!(KVM, 0x60)
);
nix::ioctl_write_int_bad!(
    /// Makes a processor, of a number.
    create_vcpu,
    nix::request_code_none!(KVM, 0x41)
);

/// The processor, for as long as it is to be there.
#[derive(Debug)]
pub struct Asleep {
    _vcpu: OwnedFd,
    _vm: OwnedFd,
}

impl Asleep {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// If this machine has no KVM.
    pub fn new() -> Result<Self> {
        let kvm = File::open("/dev/kvm").context("cannot open /dev/kvm")?;
        // SAFETY: The requests take numbers, and the first and last return new descriptors.
        unsafe {
            let vm =
                OwnedFd::from_raw_fd(create_vm(kvm.as_raw_fd(), 0).context("KVM makes no VM")?);
            create_irqchip(vm.as_raw_fd(), 0).context("KVM makes no APICs")?;
            let vcpu = create_vcpu(vm.as_raw_fd(), 0).context("KVM makes no processor")?;
            Ok(Self {
                _vcpu: OwnedFd::from_raw_fd(vcpu),
                _vm: vm,
            })
        }
    }
}
