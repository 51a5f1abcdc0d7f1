// SPDX-License-Identifier: GPL-2.0

//! Register maps: the [`registers!`](crate::registers) declaration and the table made from it.
//!
//! A map declares each register once: name, offset, how many there are, class, treatment and bit
//! fields, all in the terms of the datasheet. From that come a type per register (a wrong access does
//! not compile), a slot in the log for each recorded register, and a table that replay, the
//! tools and the documentation walk.

use crate::class::{
    Class,
    Replay, //
};
use core::fmt;
use core::marker::PhantomData;

/// Slot number of a register that is not recorded.
pub const NO_SLOT: usize = usize::MAX;

/// A register map: the marker type that [`registers!`](crate::registers) declares for one function of a chip.
pub trait Map: 'static {
    /// Name of the map, as declared.
    const NAME: &'static str;
    /// Chip id, as in the shared region and the stream.
    const CHIP: u16;
    /// Role (see [`role`](crate::region::role)).
    const ROLE: u16;
    /// Size of the register window in bytes.
    const SIZE: usize;
    /// Number of slots that the log of this map needs.
    const SLOTS: usize;
    /// All registers in the order of declaration.
    const TABLE: &'static [RegisterDesc];
}

/// One declared register, or array of equal registers. Implemented by [`registers!`](crate::registers).
pub trait Register: Copy + 'static {
    /// The map that the register belongs to.
    type Map: Map;
    /// Datasheet name.
    const NAME: &'static str;
    /// Byte offset of element 0.
    const OFFSET: usize;
    /// Number of elements; 1 for a single register.
    const COUNT: usize;
    /// Bytes between two elements.
    const STRIDE: usize;
    /// Class.
    const CLASS: Class;
    /// Treatment when the device is replaced.
    const REPLAY: Replay;
    /// Whether writes go into the log.
    const RECORDED: bool;
    /// Slot of element 0 in the log, [`NO_SLOT`] when not recorded. Elements follow one another.
    const SLOT: usize;

    /// The register's value from its 32 bits.
    fn from_raw(raw: u32) -> Self;
    /// The register's 32 bits.
    fn raw(self) -> u32;
}

/// A declared register as data, for replay, tools and documentation.
#[derive(Clone, Copy, Debug)]
pub struct RegisterDesc {
    /// Datasheet name.
    pub name: &'static str,
    /// Byte offset of element 0.
    pub offset: usize,
    /// Number of elements.
    pub count: usize,
    /// Bytes between two elements.
    pub stride: usize,
    /// Class.
    pub class: Class,
    /// Treatment when the device is replaced.
    pub replay: Replay,
    /// Slot of element 0, [`NO_SLOT`] when not recorded.
    pub slot: usize,
    /// Named bit fields.
    pub fields: &'static [FieldDesc],
    /// The declaration's documentation.
    pub doc: &'static str,
}

impl RegisterDesc {
    /// Byte offset of element `index`, which must be below `count`.
    pub const fn offset_of(&self, index: usize) -> usize {
        self.offset + index * self.stride
    }

    /// The element at a byte offset, if it is one of this register.
    pub const fn index_of(&self, offset: usize) -> Option<usize> {
        let Some(distance) = offset.checked_sub(self.offset) else {
            return None;
        };
        let Some(index) = distance.checked_div(self.stride) else {
            return None;
        };
        if index < self.count && index * self.stride == distance {
            Some(index)
        } else {
            None
        }
    }
}

/// A bit field as data.
#[derive(Clone, Copy, Debug)]
pub struct FieldDesc {
    /// Datasheet name.
    pub name: &'static str,
    /// Lowest bit.
    pub low: u32,
    /// Highest bit.
    pub high: u32,
    /// The declaration's documentation.
    pub doc: &'static str,
}

impl FieldDesc {
    /// The field's bits in place.
    pub const fn mask(&self) -> u32 {
        mask(self.low, self.high)
    }

    /// The field's value in a register value.
    pub const fn get(&self, raw: u32) -> u32 {
        (raw & self.mask()) >> self.low
    }
}

/// Bits `low..=high` set.
pub const fn mask(low: u32, high: u32) -> u32 {
    (u32::MAX >> (31 - high)) & (u32::MAX << low)
}

/// A single-bit field of register `R`.
pub struct Bit<R> {
    bit: u32,
    register: PhantomData<R>,
}

impl<R> Bit<R> {
    /// The field at bit `bit`.
    pub const fn new(bit: u32) -> Self {
        assert!(bit < 32);
        Self {
            bit,
            register: PhantomData,
        }
    }

    /// The bit in place.
    #[inline(always)]
    pub const fn mask(self) -> u32 {
        1 << self.bit
    }
}

impl<R> Clone for Bit<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Bit<R> {}

/// A field of several bits of register `R`.
pub struct Field<R> {
    low: u32,
    high: u32,
    register: PhantomData<R>,
}

impl<R> Field<R> {
    /// The field of bits `low..=high`.
    pub const fn new(low: u32, high: u32) -> Self {
        assert!(low < high && high < 32);
        Self {
            low,
            high,
            register: PhantomData,
        }
    }

    /// The field's bits in place.
    #[inline(always)]
    pub const fn mask(self) -> u32 {
        mask(self.low, self.high)
    }

    /// The largest value that the field holds.
    pub const fn max(self) -> u32 {
        self.mask() >> self.low
    }

    /// Position of the lowest bit.
    #[inline(always)]
    pub const fn shift(self) -> u32 {
        self.low
    }
}

impl<R> Clone for Field<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Field<R> {}

/// Gives recorded registers their slots in the order of declaration and checks the declaration. Used by
/// [`registers!`](crate::registers) in a constant, so that a wrong map does not compile.
///
/// # Panics
///
/// When registers overlap or leave the window, when a treatment contradicts the class, or when fields
/// of a register overlap.
pub const fn finish_table<const N: usize>(
    size: usize,
    mut table: [RegisterDesc; N],
) -> [RegisterDesc; N] {
    let mut slot = 0;
    let mut i = 0;
    while i < N {
        let r = table[i];
        assert!(r.count >= 1, "a register array needs an element");
        assert!(r.offset % 4 == 0 && r.stride % 4 == 0 && r.stride >= 4);
        assert!(
            r.offset_of(r.count - 1) + 4 <= size,
            "register outside the window"
        );
        match r.replay {
            Replay::LastWrite(_) | Replay::OpSet | Replay::Kick | Replay::Tail => {
                assert!(r.class.writable(), "treatment needs a writable class")
            }
            Replay::Head => assert!(
                matches!(r.class, Class::Ro),
                "a ring head must be declared read-only"
            ),
            Replay::SelfEmulate { width_bits } => assert!(
                width_bits >= 1 && width_bits <= 64 && r.class.readable(),
                "a self-emulated register needs a width and a readable class"
            ),
            Replay::Ignore | Replay::Mailbox => {}
        }
        let mut bits = 0;
        let mut f = 0;
        while f < r.fields.len() {
            let field = r.fields[f].mask();
            assert!(bits & field == 0, "bit fields overlap");
            bits |= field;
            f += 1;
        }
        let mut e = 0;
        while e < r.count {
            let mut j = 0;
            while j < i {
                assert!(
                    table[j].index_of(r.offset_of(e)).is_none(),
                    "two registers at one offset"
                );
                j += 1;
            }
            e += 1;
        }
        if r.replay.recorded() {
            table[i].slot = slot;
            slot += r.count;
        }
        i += 1;
    }
    table
}

/// Number of slots that a finished table uses.
pub const fn slot_count(table: &[RegisterDesc]) -> usize {
    let mut slots = 0;
    let mut i = 0;
    while i < table.len() {
        if table[i].replay.recorded() {
            slots += table[i].count;
        }
        i += 1;
    }
    slots
}

/// Slot of element 0 of the register declared at `offset`, [`NO_SLOT`] when it is not recorded.
pub const fn slot_at(table: &[RegisterDesc], offset: usize) -> usize {
    let mut i = 0;
    while i < table.len() {
        if table[i].offset == offset {
            return table[i].slot;
        }
        i += 1;
    }
    NO_SLOT
}

/// The register and element at a byte offset.
pub fn find(
    table: &'static [RegisterDesc],
    offset: usize,
) -> Option<(&'static RegisterDesc, usize)> {
    table
        .iter()
        .find_map(|r| r.index_of(offset).map(|index| (r, index)))
}

/// The register and element that a log slot belongs to.
pub fn find_slot(
    table: &'static [RegisterDesc],
    slot: usize,
) -> Option<(&'static RegisterDesc, usize)> {
    table.iter().find_map(|r| {
        let index = slot.checked_sub(r.slot)?;
        (r.slot != NO_SLOT && index < r.count).then_some((r, index))
    })
}

/// A register value that prints itself with the names of a map; see [`decode`].
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    register: Option<(&'static RegisterDesc, usize)>,
    offset: usize,
    value: u32,
}

/// Decodes a value at a byte offset for a human: `RXDCTL[0] = 0x02010000 WTHRESH=1 ENABLE=1`. Fields
/// that are 0 are left out; an offset that the map does not know prints as a number.
pub fn decode(table: &'static [RegisterDesc], offset: usize, value: u32) -> Decoded {
    Decoded {
        register: find(table, offset),
        offset,
        value,
    }
}

impl Decoded {
    /// The register and the element, when the map knows the offset.
    pub fn register(&self) -> Option<(&'static RegisterDesc, usize)> {
        self.register
    }

    /// The fields with their values, in the order of declaration.
    pub fn fields(&self) -> impl Iterator<Item = (&'static FieldDesc, u32)> {
        let value = self.value;
        let fields = self.register.map_or(&[][..], |(r, _)| r.fields);
        fields.iter().map(move |f| (f, f.get(value)))
    }
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.register {
            Some((r, index)) if r.count > 1 => write!(f, "{}[{index}]", r.name)?,
            Some((r, _)) => f.write_str(r.name)?,
            None => write!(f, "{:#06x}", self.offset)?,
        }
        write!(f, " = {:#010x}", self.value)?;
        for (field, value) in self.fields().filter(|(_, value)| *value != 0) {
            if field.low == field.high || value < 10 {
                write!(f, " {}={value}", field.name)?;
            } else {
                write!(f, " {}={value:#x}", field.name)?;
            }
        }
        Ok(())
    }
}

/// Declares a register map.
///
/// First the map: a marker type with chip, role and window size. Then the registers, in the order in which
/// replay shall write them within a phase: `NAME @ offset: Class, Treatment { fields }`, or
/// `NAME[count; stride] @ offset: …` for an array. A field is `NAME: bit` or `NAME: low..=high`.
///
/// For each register a type of that name is made, with [`Register`], the class's marker traits, one
/// constant per field, and these constant functions: `zeroed`, `from_raw`, `raw`, `is_set(BIT)`,
/// `set(BIT)`, `clear(BIT)`, `with_bit(BIT, bool)`, `get(FIELD)`, `with(FIELD, value)`.
///
/// # Examples
///
/// ```
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///
///     /// Control.
///     CTRL @ 0x00: Rws, OpSet {
///         /// Resets the device; cleared by hardware.
///         RST: 26,
///     }
///     /// Ring options.
///     RXDCTL[2; 0x10] @ 0x20: Rw, LastWrite(Enable) {
///         /// Prefetch threshold.
///         PTHRESH: 0..=4,
///         /// Queue enable.
///         ENABLE: 25,
///     }
/// }
///
/// const ON: RXDCTL = RXDCTL::zeroed().with(RXDCTL::PTHRESH, 8).set(RXDCTL::ENABLE);
/// assert_eq!(ON.raw(), 0x0200_0008);
/// assert!(ON.is_set(RXDCTL::ENABLE));
///
/// use compsc_core::regs::{decode, Map};
/// assert_eq!(Toy::SLOTS, 2);
/// assert_eq!(
///     decode(Toy::TABLE, 0x30, ON.raw()).to_string(),
///     "RXDCTL[1] = 0x02000008 PTHRESH=8 ENABLE=1"
/// );
/// ```
///
/// A map with two registers at one offset does not compile:
///
/// ```compile_fail
/// compsc_core::registers! {
///     /// Wrong.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// One.
///     A[4; 4] @ 0x00: Rw, LastWrite(Setup) {}
///     /// Two.
///     B @ 0x08: Rw, LastWrite(Setup) {}
/// }
/// ```
#[macro_export]
macro_rules! registers {
    (
        $(#[$map_attr:meta])*
        $vis:vis map $map:ident { chip: $chip:expr, role: $role:expr, size: $size:expr $(,)? }
        $(
            $(#[doc = $doc:literal])*
            $name:ident $([$count:expr; $stride:expr])? @ $offset:tt :
                $class:ident, $replay:ident $(($phase:ident))? $({ $width:literal bits })?
            {
                $(
                    $(#[doc = $fdoc:literal])*
                    $field:ident : $low:literal $(..= $high:literal)?
                ),* $(,)?
            }
        )*
    ) => {
        $(#[$map_attr])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $map;

        const _: () = {
            const TABLE: &[$crate::regs::RegisterDesc] = &$crate::regs::finish_table($size, [
                $($crate::regs::RegisterDesc {
                    name: stringify!($name),
                    offset: $offset,
                    count: $crate::__register_shape!(count $($count)?),
                    stride: $crate::__register_shape!(stride $($stride)?),
                    class: $crate::class::Class::$class,
                    replay: $crate::__register_replay!($replay $(($phase))? $({ $width })?),
                    slot: $crate::regs::NO_SLOT,
                    fields: &[
                        $($crate::regs::FieldDesc {
                            name: stringify!($field),
                            low: $low,
                            high: $crate::__register_field!(high $low $(, $high)?),
                            doc: concat!($($fdoc),*),
                        }),*
                    ],
                    doc: concat!($($doc),*),
                }),*
            ]);

            impl $crate::regs::Map for $map {
                const NAME: &'static str = stringify!($map);
                const CHIP: u16 = $chip;
                const ROLE: u16 = $role;
                const SIZE: usize = $size;
                const SLOTS: usize = $crate::regs::slot_count(TABLE);
                const TABLE: &'static [$crate::regs::RegisterDesc] = TABLE;
            }
        };

        $(
            $(#[doc = $doc])*
            #[doc = concat!("\n\nOffset ", stringify!($offset), $(" + ", stringify!($stride), "·n, n < ",
                stringify!($count),)? ", class ", stringify!($class), ", ", stringify!($replay),
                $("(", stringify!($phase), ")",)? $(" (", stringify!($width), " bits)",)? ".")]
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            #[derive(Clone, Copy, PartialEq, Eq)]
            $vis struct $name(u32);

            #[allow(dead_code)]
            impl $name {
                $(
                    $(#[doc = $fdoc])*
                    $vis const $field: $crate::__register_field!(type $low $(, $high)?) =
                        $crate::__register_field!(new $low $(, $high)?);
                )*

                /// All bits 0.
                #[inline(always)]
                $vis const fn zeroed() -> Self {
                    Self(0)
                }

                /// The value from its 32 bits.
                #[inline(always)]
                $vis const fn from_raw(raw: u32) -> Self {
                    Self(raw)
                }

                /// The 32 bits.
                #[inline(always)]
                $vis const fn raw(self) -> u32 {
                    self.0
                }

                /// Whether a bit is 1.
                #[inline(always)]
                $vis const fn is_set(self, bit: $crate::regs::Bit<Self>) -> bool {
                    self.0 & bit.mask() != 0
                }

                /// The value with a bit set to 1.
                #[inline(always)]
                #[must_use]
                $vis const fn set(self, bit: $crate::regs::Bit<Self>) -> Self {
                    Self(self.0 | bit.mask())
                }

                /// The value with a bit set to 0.
                #[inline(always)]
                #[must_use]
                $vis const fn clear(self, bit: $crate::regs::Bit<Self>) -> Self {
                    Self(self.0 & !bit.mask())
                }

                /// The value with a bit set to 1 or 0.
                #[inline(always)]
                #[must_use]
                $vis const fn with_bit(self, bit: $crate::regs::Bit<Self>, on: bool) -> Self {
                    if on { self.set(bit) } else { self.clear(bit) }
                }

                /// The value of a field.
                #[inline(always)]
                $vis const fn get(self, field: $crate::regs::Field<Self>) -> u32 {
                    (self.0 & field.mask()) >> field.shift()
                }

                /// The value with a field replaced; bits that do not fit are cut off (and an error
                /// when debug assertions are on).
                #[inline(always)]
                #[must_use]
                $vis const fn with(self, field: $crate::regs::Field<Self>, value: u32) -> Self {
                    debug_assert!(value <= field.max());
                    Self((self.0 & !field.mask()) | ((value << field.shift()) & field.mask()))
                }
            }

            impl $crate::regs::Register for $name {
                type Map = $map;
                const NAME: &'static str = stringify!($name);
                const OFFSET: usize = $offset;
                const COUNT: usize = $crate::__register_shape!(count $($count)?);
                const STRIDE: usize = $crate::__register_shape!(stride $($stride)?);
                const CLASS: $crate::class::Class = $crate::class::Class::$class;
                const REPLAY: $crate::class::Replay =
                    $crate::__register_replay!($replay $(($phase))? $({ $width })?);
                const RECORDED: bool = Self::REPLAY.recorded();
                const SLOT: usize =
                    $crate::regs::slot_at(<$map as $crate::regs::Map>::TABLE, $offset);

                #[inline(always)]
                fn from_raw(raw: u32) -> Self {
                    Self(raw)
                }

                #[inline(always)]
                fn raw(self) -> u32 {
                    self.0
                }
            }

            impl ::core::fmt::Debug for $name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Display::fmt(
                        &$crate::regs::decode(<$map as $crate::regs::Map>::TABLE, $offset, self.0),
                        f,
                    )
                }
            }

            $crate::__register_access!($class $replay $name);
        )*
    };
}

/// Part of [`registers!`](crate::registers).
#[doc(hidden)]
#[macro_export]
macro_rules! __register_shape {
    (count) => {
        1
    };
    (count $count:expr) => {
        $count
    };
    (stride) => {
        4
    };
    (stride $stride:expr) => {
        $stride
    };
}

/// Part of [`registers!`](crate::registers).
#[doc(hidden)]
#[macro_export]
macro_rules! __register_replay {
    (LastWrite($phase:ident)) => {
        $crate::class::Replay::LastWrite($crate::class::Phase::$phase)
    };
    (SelfEmulate { $width:literal }) => {
        $crate::class::Replay::SelfEmulate { width_bits: $width }
    };
    ($replay:ident) => {
        $crate::class::Replay::$replay
    };
}

/// Part of [`registers!`](crate::registers).
#[doc(hidden)]
#[macro_export]
macro_rules! __register_field {
    (high $low:literal) => {
        $low
    };
    (high $low:literal, $high:literal) => {
        $high
    };
    (type $low:literal) => {
        $crate::regs::Bit<Self>
    };
    (type $low:literal, $high:literal) => {
        $crate::regs::Field<Self>
    };
    (new $low:literal) => {
        $crate::regs::Bit::new($low)
    };
    (new $low:literal, $high:literal) => {
        $crate::regs::Field::new($low, $high)
    };
}

/// Part of [`registers!`](crate::registers).
#[doc(hidden)]
#[macro_export]
macro_rules! __register_access {
    ($class:ident Head $name:ident) => {
        impl $crate::class::Readable for $name {}
    };
    (Wo OpSet $name:ident) => {
        impl $crate::class::Resets for $name {}
    };
    ($class:ident OpSet $name:ident) => {
        impl $crate::class::Readable for $name {}
        impl $crate::class::Resets for $name {}
    };
    (Rw $replay:ident $name:ident) => {
        impl $crate::class::Readable for $name {}
        impl $crate::class::Writable for $name {}
    };
    (Rw1c $replay:ident $name:ident) => {
        impl $crate::class::Readable for $name {}
        impl $crate::class::Writable for $name {}
    };
    (Rws $replay:ident $name:ident) => {
        impl $crate::class::Readable for $name {}
        impl $crate::class::Writable for $name {}
    };
    (Ro $replay:ident $name:ident) => {
        impl $crate::class::Readable for $name {}
    };
    (Rc $replay:ident $name:ident) => {
        impl $crate::class::Readable for $name {}
    };
    (Wo $replay:ident $name:ident) => {
        impl $crate::class::Writable for $name {}
    };
    (Wc $replay:ident $name:ident) => {
        impl $crate::class::Writable for $name {}
    };
    (Reserved $replay:ident $name:ident) => {};
}
