// SPDX-License-Identifier: GPL-2.0

//! `/sys/bus/pci/devices/<function>/compsc/`: see Documentation/ABI/testing/sysfs-bus-pci-devices-compsc.

use super::{
    Adapter,
    Chip, //
};
use crate::{
    pci,
    sysfs::{
        Attribute,
        Group,
        HasGroup,
        Listed, //
    }, //
};
use core::marker::PhantomData;

/// A driver whose bound functions are adapters.
pub trait Holder: pci::Driver {
    /// What the functions are.
    type Chip: Chip;

    /// The adapter.
    fn adapter(&self) -> &Adapter<Self::Chip>;
}

struct Files<D>(PhantomData<D>);

impl<D: Holder> Files<D> {
    const STATE: &'static Attribute<D> = &Attribute::new(c"state", |d, page| {
        let state = d.adapter().control.lock().state();
        page.show(state)
    });
    const MIGRATABLE: &'static Attribute<D> = &Attribute::new(c"migratable", |d, page| {
        page.show(u8::from(d.adapter().offer.is_some()))
    });
    const RESTORES: &'static Attribute<D> = &Attribute::new(c"restores", |d, page| {
        page.show(d.adapter().region.restores().0)
    });
    const LAST_RESTORE: &'static Attribute<D> = &Attribute::new(c"last_restore_us", |d, page| {
        page.show(d.adapter().region.restores().1 / 1000)
    });
    const LIST: &'static [Listed<D>] = &[
        Self::STATE.listed(),
        Self::MIGRATABLE.listed(),
        Self::RESTORES.listed(),
        Self::LAST_RESTORE.listed(),
        Listed::END,
    ];
}

impl<D: Holder> HasGroup for D {
    const GROUP: &'static Group<Self> = &Group::new(c"compsc", Files::<D>::LIST);
}
