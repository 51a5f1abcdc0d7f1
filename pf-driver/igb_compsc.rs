// SPDX-License-Identifier: GPL-2.0

//! Intel 82576 physical function driver.

use compsc::{
    adapter::{
        sysfs::Holder,
        Adapter, //
    },
    pci,
    sysfs::{
        Groups,
        HasGroup, //
    }, //
};
use compsc_regs::sriov::MAX_VFS;
use kernel::{
    device_id::IdTable,
    pci::{
        DeviceId,
        Vendor, //
    },
    prelude::*, //
};

mod igb;

use igb::Pf;

/// A bound physical function.
#[pin_data]
struct Igb {
    #[pin]
    adapter: Pin<KBox<Adapter<Pf>>>,
}

kernel::pci_device_table!(
    PCI_TABLE,
    @none,
    [
        DeviceId::from_id(Vendor::INTEL, 0x10c9),
        DeviceId::from_id(Vendor::INTEL, 0x10e8),
        DeviceId::from_id(Vendor::INTEL, 0x150a),
        DeviceId::from_id(Vendor::INTEL, 0x1526),
    ]
);

impl Holder for Igb {
    type Chip = Pf;

    fn adapter(&self) -> &Adapter<Pf> {
        &self.adapter
    }
}

impl pci::Driver for Igb {
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()> = &PCI_TABLE;
    const ATTRIBUTES: &'static Groups<Self> = Self::GROUPS;
    const SRIOV: bool = true;

    fn probe(function: pci::Function) -> Result<Pin<KBox<Self>>> {
        if let Err(e) = function.limit_vfs(MAX_VFS) {
            dev_info!(
                function.device(),
                "no virtual functions: the device or its bus does not have them ({:?})\n",
                e
            );
        }
        Ok(KBox::pin(
            Self {
                adapter: Adapter::probe(function)?,
            },
            GFP_KERNEL,
        )?)
    }

    fn remove(&self) {
        self.adapter.remove();
    }

    fn shutdown(&self) {
        self.adapter.shutdown();
    }

    fn reset_prepare(&self) {
        self.adapter.reset_prepare();
    }

    fn cut_off(&self) {
        self.adapter.cut_off();
    }

    fn suspend(&self) {
        self.adapter.suspend();
    }

    fn reset_done(&self) {
        self.adapter.reset_done();
    }

    fn set_vfs(&self, count: usize) -> Result<usize> {
        self.adapter.set_vfs(count)
    }
}

compsc::module_pci_driver! {
    Igb,
    name: "igb_compsc",
    authors: ["The CompSC authors"],
    description: "Intel 82576 physical function driver with SR-IOV and live migration",
    license: "GPL v2",
}
