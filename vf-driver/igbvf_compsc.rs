// SPDX-License-Identifier: GPL-2.0

//! Intel 82576 virtual function driver.

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
use kernel::{
    device_id::IdTable,
    pci::{
        DeviceId,
        Vendor, //
    },
    prelude::*, //
};

mod igbvf;

use igbvf::Vf;

/// A bound virtual function.
#[pin_data]
struct Igbvf {
    #[pin]
    adapter: Pin<KBox<Adapter<Vf>>>,
}

kernel::pci_device_table!(
    PCI_TABLE,
    @none,
    [DeviceId::from_id(Vendor::INTEL, 0x10ca)]
);

impl Holder for Igbvf {
    type Chip = Vf;

    fn adapter(&self) -> &Adapter<Vf> {
        &self.adapter
    }
}

impl pci::Driver for Igbvf {
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()> = &PCI_TABLE;
    const ATTRIBUTES: &'static Groups<Self> = Self::GROUPS;

    fn probe(function: pci::Function) -> Result<Pin<KBox<Self>>> {
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
}

compsc::module_pci_driver! {
    Igbvf,
    name: "igbvf_compsc",
    authors: ["The CompSC authors"],
    description: "Intel 82576 virtual function driver with live migration",
    license: "GPL v2",
}
