// SPDX-License-Identifier: GPL-2.0

//! Register map of the PF (datasheet 8.2.3): what is implemented, with which class.
//!
//! Registers of the queues (0x1000, 0x6000, 0xD000 and what follows) are described in
//! [`rx`](crate::rx) and [`tx`](crate::tx). A register that is absent here is reserved: it reads 0, a write has no
//! effect and is a [violation](crate::Violation).

use crate::PF_SPACE;

/// What the silicon does on an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing there.
    Reserved,
    /// Reads return the value last written.
    Rw,
    /// Writes have no effect.
    Ro,
    /// Reads return 0.
    Wo,
    /// Cleared by a read; writes have no effect.
    Rc,
    /// Low half of a counter of 36 bits, not cleared by a read.
    RcLow,
    /// High half of a counter of 36 bits; a read clears both halves.
    RcHigh,
    /// Writing 1 clears a bit.
    W1c,
}

/// One register, or a row of them.
#[derive(Clone, Copy, Debug)]
pub struct Reg {
    /// Offset of the first.
    pub base: u32,
    /// Distance between two, bytes.
    pub stride: u32,
    /// How many.
    pub count: u32,
    /// Class.
    pub class: Class,
    /// Implemented bits; the others read 0 and must be written 0.
    pub mask: u32,
    /// Value after a reset.
    pub reset: u32,
    /// Datasheet name.
    pub name: &'static str,
}

const fn row(
    base: u32,
    stride: u32,
    count: u32,
    class: Class,
    mask: u32,
    name: &'static str,
) -> Reg {
    Reg {
        base,
        stride,
        count,
        class,
        mask,
        reset: 0,
        name,
    }
}

const fn rw(base: u32, mask: u32, name: &'static str) -> Reg {
    row(base, 4, 1, Class::Rw, mask, name)
}

const fn rws(base: u32, mask: u32, reset: u32, name: &'static str) -> Reg {
    Reg {
        base,
        stride: 4,
        count: 1,
        class: Class::Rw,
        mask,
        reset,
        name,
    }
}

const fn ro(base: u32, reset: u32, name: &'static str) -> Reg {
    Reg {
        base,
        stride: 4,
        count: 1,
        class: Class::Ro,
        mask: !0,
        reset,
        name,
    }
}

const fn rc(base: u32, name: &'static str) -> Reg {
    row(base, 4, 1, Class::Rc, !0, name)
}

const fn rcs(base: u32, stride: u32, count: u32, name: &'static str) -> Reg {
    row(base, stride, count, Class::Rc, !0, name)
}

const fn low(base: u32, stride: u32, count: u32, name: &'static str) -> Reg {
    row(base, stride, count, Class::RcLow, !0, name)
}

const fn high(base: u32, stride: u32, count: u32, name: &'static str) -> Reg {
    row(base, stride, count, Class::RcHigh, 0xF, name)
}

/// RDRXCTL.DMAIDONE, set by the hardware; software writes back what it read.
pub const RDRXCTL_DMAIDONE: u32 = 1 << 3;

/// Offsets that the code uses.
#[expect(
    missing_docs,
    reason = "datasheet names; the table below has the classes"
)]
pub mod at {
    pub const CTRL: u32 = 0x0000;
    pub const STATUS: u32 = 0x0008;
    pub const CTRL_EXT: u32 = 0x0018;
    pub const ESDP: u32 = 0x0020;
    pub const I2CCTL: u32 = 0x0028;
    pub const FRTIMER: u32 = 0x0048;
    pub const VFLRE1: u32 = 0x01C0;
    pub const VFLRE0: u32 = 0x0600;
    pub const VFLREC: u32 = 0x0700;
    pub const PFMBICR: u32 = 0x0710;
    pub const PFMBIMR: u32 = 0x0720;
    pub const EICR: u32 = 0x0800;
    pub const EICS: u32 = 0x0808;
    pub const EIAC: u32 = 0x0810;
    pub const EITR: u32 = 0x0820;
    pub const EIMS: u32 = 0x0880;
    pub const EIMC: u32 = 0x0888;
    pub const EIAM: u32 = 0x0890;
    pub const GPIE: u32 = 0x0898;
    pub const IVAR: u32 = 0x0900;
    pub const IVAR_MISC: u32 = 0x0A00;
    pub const EICS_EX: u32 = 0x0A90;
    pub const EIMS_EX: u32 = 0x0AA0;
    pub const EIMC_EX: u32 = 0x0AB0;
    pub const EIAM_EX: u32 = 0x0AD0;
    pub const RQSMR: u32 = 0x2300;
    pub const RDRXCTL: u32 = 0x2F00;
    pub const QDE: u32 = 0x2F04;
    pub const RTRUP2TC: u32 = 0x3020;
    pub const RTTDQSEL: u32 = 0x4904;
    pub const RTTBCNRM: u32 = 0x4980;
    pub const RTTBCNRC: u32 = 0x4984;
    pub const RXDGPC: u32 = 0x2F50;
    pub const RXDGBCL: u32 = 0x2F54;
    pub const RXLPBKGPC: u32 = 0x2F68;
    pub const RXLPBKGBCL: u32 = 0x2F6C;
    pub const RXCTRL: u32 = 0x3000;
    pub const MPC: u32 = 0x3FA0;
    pub const GPRC: u32 = 0x4074;
    pub const BPRC: u32 = 0x4078;
    pub const MPRC: u32 = 0x407C;
    pub const GPTC: u32 = 0x4080;
    pub const GORCL: u32 = 0x4088;
    pub const GOTCL: u32 = 0x4090;
    pub const PRC64: u32 = 0x405C;
    pub const RUC: u32 = 0x40A4;
    pub const ROC: u32 = 0x40AC;
    pub const TORL: u32 = 0x40C0;
    pub const TPR: u32 = 0x40D0;
    pub const TPT: u32 = 0x40D4;
    pub const PTC64: u32 = 0x40D8;
    pub const MPTC: u32 = 0x40F0;
    pub const BPTC: u32 = 0x40F4;
    pub const RXNFGPC: u32 = 0x41B0;
    pub const RXNFGBCL: u32 = 0x41B4;
    pub const HLREG0: u32 = 0x4240;
    pub const MSCA: u32 = 0x425C;
    pub const MSRWD: u32 = 0x4260;
    pub const MAXFRS: u32 = 0x4268;
    pub const AUTOC: u32 = 0x42A0;
    pub const LINKS: u32 = 0x42A4;
    pub const AUTOC2: u32 = 0x42A8;
    pub const ANLP1: u32 = 0x42B0;
    pub const DMATXCTL: u32 = 0x4A80;
    pub const DTXTCPFLGL: u32 = 0x4A88;
    pub const DTXTCPFLGH: u32 = 0x4A8C;
    pub const PFMAILBOX: u32 = 0x4B00;
    pub const RXCSUM: u32 = 0x5000;
    pub const RXMTRL: u32 = 0x5120;
    pub const ETQF: u32 = 0x5128;
    pub const VFRE: u32 = 0x51E0;
    pub const TSYNCRXCTL: u32 = 0x5188;
    pub const RXSTMPL: u32 = 0x51E8;
    pub const RXSTMPH: u32 = 0x51A4;
    pub const VT_CTL: u32 = 0x51B0;
    pub const MTA: u32 = 0x5200;
    pub const FCTRL: u32 = 0x5080;
    pub const VLNCTRL: u32 = 0x5088;
    pub const MCSTCTRL: u32 = 0x5090;
    pub const MRQC: u32 = 0x5818;
    pub const RETA: u32 = 0x5C00;
    pub const RSSRK: u32 = 0x5C80;
    pub const VMVIR: u32 = 0x8000;
    pub const VFTE: u32 = 0x8110;
    pub const MTQC: u32 = 0x8120;
    pub const PFVFSPOOF: u32 = 0x8200;
    pub const PFDTXGSWC: u32 = 0x8220;
    pub const TQSM: u32 = 0x8600;
    pub const QBTC_L: u32 = 0x8700;
    pub const SSVPC: u32 = 0x8780;
    pub const TXDGPC: u32 = 0x87A0;
    pub const TXDGBCL: u32 = 0x87A4;
    pub const VMECM: u32 = 0x8790;
    pub const SECTXSTAT: u32 = 0x8804;
    pub const TSYNCTXCTL: u32 = 0x8C00;
    pub const TXSTMPL: u32 = 0x8C04;
    pub const TXSTMPH: u32 = 0x8C08;
    pub const SYSTIML: u32 = 0x8C0C;
    pub const SYSTIMH: u32 = 0x8C10;
    pub const TIMINCA: u32 = 0x8C14;
    pub const SECRXCTRL: u32 = 0x8D00;
    pub const SECRXSTAT: u32 = 0x8D04;
    pub const VFTA: u32 = 0xA000;
    pub const RAL: u32 = 0xA200;
    pub const MPSAR: u32 = 0xA600;
    pub const SAQF: u32 = 0xE000;
    pub const DAQF: u32 = 0xE200;
    pub const SDPQF: u32 = 0xE400;
    pub const FTQF: u32 = 0xE600;
    pub const L34T_IMIR: u32 = 0xE800;
    pub const PSRTYPE: u32 = 0xEA00;
    pub const ETQS: u32 = 0xEC00;
    pub const SYNQF: u32 = 0xEC30;
    pub const RQTC: u32 = 0xEC70;
    pub const FDIRCTRL: u32 = 0xEE00;
    pub const FDIRIPSA: u32 = 0xEE18;
    pub const FDIRIPDA: u32 = 0xEE1C;
    pub const FDIRPORT: u32 = 0xEE20;
    pub const FDIRVLAN: u32 = 0xEE24;
    pub const FDIRHASH: u32 = 0xEE28;
    pub const FDIRCMD: u32 = 0xEE2C;
    pub const FDIRFREE: u32 = 0xEE38;
    pub const FDIRDIP4M: u32 = 0xEE3C;
    pub const FDIRSIP4M: u32 = 0xEE40;
    pub const FDIRTCPM: u32 = 0xEE44;
    pub const FDIRUDPM: u32 = 0xEE48;
    pub const FDIRUSTAT: u32 = 0xEE50;
    pub const FDIRFSTAT: u32 = 0xEE54;
    pub const FDIRHKEY: u32 = 0xEE68;
    pub const FDIRSKEY: u32 = 0xEE6C;
    pub const FDIRMATCH: u32 = 0xEE58;
    pub const FDIRMISS: u32 = 0xEE5C;
    pub const FDIRM: u32 = 0xEE70;
    pub const VMOLR: u32 = 0xF000;
    pub const VLVF: u32 = 0xF100;
    pub const VLVFB: u32 = 0xF200;
    pub const UTA: u32 = 0xF400;
    pub const PFMRCTL: u32 = 0xF600;
    pub const PFMRVLAN: u32 = 0xF610;
    pub const PFMRVM: u32 = 0xF630;
    pub const EEC: u32 = 0x1_0010;
    pub const EERD: u32 = 0x1_0014;
    pub const EEWR: u32 = 0x1_0018;
    pub const SWSM: u32 = 0x1_0140;
    pub const FWSM: u32 = 0x1_0148;
    pub const GSSR: u32 = 0x1_0160;
    pub const GCR_EXT: u32 = 0x1_1050;
    pub const RSCINT: u32 = 0x1_2000;
    pub const EITR_HIGH: u32 = 0x1_2300;
    pub const PFMBMEM: u32 = 0x1_3000;
    pub const CORECTL: u32 = 0x1_4F00;
    /// Not in the silicon; see [`device`](crate::device).
    pub const MODEL_ID: u32 = 0x1_FFF0;
    /// Not in the silicon; see [`device`](crate::device).
    pub const MODEL_VIOLATIONS: u32 = 0x1_FFF4;
    /// Not in the silicon; see [`device`](crate::device).
    pub const MODEL_LAST: u32 = 0x1_FFF8;
}

use Class::Ro;
use Class::Rw;
use Class::W1c;
use Class::Wo;

/// The map. Rows whose second address is only an alias (RAL 0 to 15 at 0x5400 and the like) are listed
/// once; see [`canonical`].
pub const MAP: &[Reg] = &[
    // General control (8.2.3.1).
    rws(at::CTRL, 0x0400_000C, 0, "CTRL"),
    row(0x0004, 4, 1, Rw, 0x0400_000C, "CTRL"),
    ro(at::STATUS, 0, "STATUS"),
    rw(at::CTRL_EXT, 0x1403_4000, "CTRL_EXT"),
    rw(at::ESDP, 0x0003_FFFF, "ESDP"),
    rws(at::I2CCTL, 0xF, 0xF, "I2CCTL"),
    rws(0x0200, 0xEFEF_EFEF, 0x0004_0000, "LEDCTL"),
    ro(at::FRTIMER, 0, "FRTIMER"),
    rw(0x004C, 0xFFF, "TCPTIMER"),
    rws(0x5078, 0xFFFF_0000, 0x8100_0000, "EXVET"),
    // EEPROM, semaphores, PCIe (8.2.3.2 to 8.2.3.4).
    rw(at::EEC, 0x0087_FFFF, "EEC"),
    rw(at::EERD, 0xFFFF_FFFF, "EERD"),
    rw(at::EEWR, 0xFFFF_FFFF, "EEWR"),
    rw(0x1_001C, 0xC000_003F, "FLA"),
    ro(0x1_0110, 0, "EEMNGCTL"),
    ro(0x1_0114, 0, "EEMNGDATA"),
    ro(0x1_0118, 0, "FLMNGCTL"),
    ro(0x1_011C, 0, "FLMNGDATA"),
    ro(0x1_0120, 0, "FLMNGCNT"),
    rw(0x1_013C, 0xFFFF, "FLOP"),
    rw(at::SWSM, 0x7, "SWSM"),
    // Firmware valid, no manageability.
    ro(at::FWSM, 0x8000, "FWSM"),
    ro(0x1_0150, 0, "FACTPS"),
    rw(at::GSSR, 0x8000_FFFF, "SW_FW_SYNC"),
    rw(0x1_0200, 0x3, "GRC"),
    ro(0x1_0204, 0, "VPDDIAG0"),
    ro(0x1_0208, 0, "VPDDIAG1"),
    rw(0x1_1000, 0x000F_F3FF, "GCR"),
    ro(0x1_1004, 0, "GTV"),
    ro(0x1_1008, 0, "FUNCTAG"),
    ro(0x1_100C, 0, "GLT"),
    row(0x1_1010, 4, 4, Rw, !0, "GSCL"),
    row(0x1_1020, 4, 4, Rw, !0, "GSCN"),
    row(0x1_1030, 4, 4, Rw, !0, "GSCL_5_8"),
    rw(0x1_1040, !0, "PCIEPHYADR"),
    rw(0x1_1044, !0, "PCIEPHYDAT"),
    rw(0x1_1048, !0, "PCIEPHYCTL"),
    rw(at::GCR_EXT, 0xC000_0013, "GCR_EXT"),
    ro(0x1_1064, 0x1, "MREVID"),
    rw(0x1_106C, !0, "PCIEECCCTL"),
    ro(0x1_1070, 0, "DCA_ID"),
    rws(0x1_1074, 0x1F, 1, "DCA_CTRL"),
    rw(0x1_1088, 0x800F_0FFF, "CIAA"),
    rw(0x1_108C, !0, "CIAD"),
    row(0x1_1090, 4, 8, Ro, !0, "PCIE_DIAG"),
    ro(0x1_10B0, 0, "PICAUSE"),
    rw(0x1_10B8, 0x3F, "PIENA"),
    row(0x1_1068, 4, 1, W1c, !0, "PBACL"),
    row(0x1_10C0, 4, 8, W1c, !0, "PBACL"),
    ro(0x1_10E0, 0, "ECC_STATUS"),
    ro(0x1_10F0, 0, "MISC"),
    ro(0x1_10F4, 0, "BARCTRL"),
    rw(0x1_1100, !0, "PCIEECCCTL0"),
    rw(0x1_1104, !0, "PCIEECCCTL1"),
    rw(at::CORECTL, 0x0001_FFFF, "CORECTL"),
    rw(0x1_4F10, !0, "SMADARCTL"),
    row(0x1_5F00, 4, 3, Ro, !0, "HICR"),
    row(0x1_5F0C, 4, 1, W1c, !0, "FWSTS"),
    ro(0x1_5F10, 0, "SWSR"),
    // Interrupts (8.2.3.5).
    row(at::EICR, 4, 1, W1c, 0x7FFF_FFFF, "EICR"),
    row(at::EICS, 4, 1, Rw, 0x7FFF_FFFF, "EICS"),
    rw(at::EIAC, 0x4000_FFFF, "EIAC"),
    row(at::EITR, 4, 24, Rw, 0x8FFF_8FF8, "EITR"),
    row(at::EITR_HIGH, 4, 105, Rw, 0x8FFF_8FF8, "EITR"),
    rw(at::EIMS, 0x7FFF_FFFF, "EIMS"),
    row(at::EIMC, 4, 1, Wo, !0, "EIMC"),
    rw(at::EIAM, 0x7FFF_FFFF, "EIAM"),
    rw(0x0894, !0, "EITRSEL"),
    rw(at::GPIE, 0xC000_FFFF, "GPIE"),
    row(at::IVAR, 4, 64, Rw, 0xBFBF_BFBF, "IVAR"),
    rw(at::IVAR_MISC, 0xBFBF, "IVAR_MISC"),
    row(at::EICS_EX, 4, 2, Wo, !0, "EICS"),
    row(at::EIMS_EX, 4, 2, Rw, !0, "EIMS"),
    row(at::EIMC_EX, 4, 2, Wo, !0, "EIMC"),
    row(at::EIAM_EX, 4, 2, Rw, !0, "EIAM"),
    row(at::RSCINT, 4, 128, Rw, 0x7FFF, "RSCINT"),
    // Flow control (8.2.3.3 and 8.2.3.22).
    row(0x3200, 4, 4, Rw, !0, "FCTTV"),
    row(0x3220, 4, 8, Rw, 0x8007_FFF0, "FCRTL"),
    row(0x3260, 4, 8, Rw, 0x8007_FFF0, "FCRTH"),
    rw(0x32A0, 0xFFFF, "FCRTV"),
    rw(0x3D00, 0x18, "FCCFG"),
    ro(0xCE00, 0, "TFCS"),
    rw(0x3008, !0, "PFCTOP"),
    // Receive DMA (8.2.3.8).
    rws(at::RDRXCTL, 0x3FFF_FFFF, RDRXCTL_DMAIDONE, "RDRXCTL"),
    rw(at::QDE, 0x0001_7F03, "PFQDE"),
    rw(0x2F20, !0, "RDPROBE"),
    rw(at::RXCTRL, 0x3, "RXCTRL"),
    rw(at::RTRUP2TC, 0x00FF_FFFF, "RTRUP2TC"),
    rws(0x3028, 0xFF, 0x20, "RSCDBU"),
    ro(0x3190, 0, "RXMEMWRAP"),
    row(0x3C00, 4, 8, Rw, 0x000F_FC00, "RXPBSIZE"),
    rw(0x3D04, 0xFF, "DROPEN"),
    // Receive filters (8.2.3.7, 8.2.3.27).
    rw(at::RXCSUM, 0x3000, "RXCSUM"),
    rw(0x5008, 0x0003_CFFF, "RFCTL"),
    rw(at::FCTRL, 0x0000_3702, "FCTRL"),
    rws(at::VLNCTRL, 0x7000_FFFF, 0x8100, "VLNCTRL"),
    rw(at::MCSTCTRL, 0x7, "MCSTCTRL"),
    rw(0x50A0, 0x00FF_FFFF, "RUPPBMR"),
    rw(0x50B0, !0, "PFFLPL"),
    rw(0x50B4, !0, "PFFLPH"),
    row(at::MTA, 4, 128, Rw, !0, "MTA"),
    row(at::RAL, 8, 128, Rw, !0, "RAL"),
    row(at::RAL + 4, 8, 128, Rw, 0x8000_FFFF, "RAH"),
    row(at::MPSAR, 4, 256, Rw, !0, "MPSAR"),
    row(at::PSRTYPE, 4, 64, Rw, 0xE000_1330, "PSRTYPE"),
    row(at::VFTA, 4, 128, Rw, !0, "VFTA"),
    rw(at::MRQC, 0xFFFF_200F, "MRQC"),
    row(at::RETA, 4, 32, Rw, 0x0F0F_0F0F, "RETA"),
    row(at::RSSRK, 4, 10, Rw, !0, "RSSRK"),
    row(at::SAQF, 4, 128, Rw, !0, "SAQF"),
    row(at::DAQF, 4, 128, Rw, !0, "DAQF"),
    row(at::SDPQF, 4, 128, Rw, !0, "SDPQF"),
    row(at::FTQF, 4, 128, Rw, 0xFE00_3F1F, "FTQF"),
    row(at::L34T_IMIR, 4, 128, Rw, 0x0FF8_1000, "L34T_IMIR"),
    row(at::ETQF, 4, 8, Rw, !0, "ETQF"),
    row(at::ETQS, 4, 8, Rw, 0xA07F_0000, "ETQS"),
    rw(at::SYNQF, 0x8000_00FF, "SYNQF"),
    rw(at::RQTC, 0x7777_7777, "RQTC"),
    rw(0xEC90, 0x07FF, "LLITHRESH"),
    rw(0xEC60, 0xF, "IMIRVP"),
    // Virtualization (8.2.3.27).
    rw(at::VT_CTL, 0x6000_1F81, "PFVTCTL"),
    row(at::VFLRE0, 4, 1, Ro, !0, "PFVFLRE"),
    row(at::VFLRE1, 4, 1, Ro, !0, "PFVFLRE"),
    row(at::VFLREC, 4, 2, W1c, !0, "PFVFLREC"),
    row(at::PFMBICR, 4, 4, W1c, !0, "PFMBICR"),
    row(at::PFMBIMR, 4, 4, Rw, !0, "PFMBIMR"),
    row(at::PFMAILBOX, 4, 64, Rw, 0x1F, "PFMAILBOX"),
    row(at::PFMBMEM, 4, 1024, Rw, !0, "PFMBMEM"),
    row(at::VFRE, 4, 2, Rw, !0, "PFVFRE"),
    row(at::VFTE, 4, 2, Rw, !0, "PFVFTE"),
    row(0x5180, 4, 2, Rw, !0, "PFVMTXSW"),
    row(at::VMECM, 4, 2, Rw, !0, "PFVMECM"),
    row(at::VMOLR, 4, 64, Rw, 0x1F00_0000, "PFVML2FLT"),
    row(at::VLVF, 4, 64, Rw, 0x8000_0FFF, "PFVLVF"),
    row(at::VLVFB, 4, 128, Rw, !0, "PFVLVFB"),
    row(at::VMVIR, 4, 64, Rw, 0xC000_FFFF, "PFVMVIR"),
    row(at::UTA, 4, 128, Rw, !0, "PFUTA"),
    row(at::PFMRCTL, 4, 4, Rw, 0x0000_3F0F, "PFMRCTL"),
    row(at::PFMRVLAN, 4, 8, Rw, !0, "PFMRVLAN"),
    row(at::PFMRVM, 4, 8, Rw, !0, "PFMRVM"),
    row(at::PFVFSPOOF, 4, 8, Rw, 0xFFFF, "PFVFSPOOF"),
    rw(at::PFDTXGSWC, 0x1, "PFDTXGSWC"),
    row(0x2FB0, 4, 4, W1c, !0, "WQBR_RX"),
    row(0x8130, 4, 4, W1c, !0, "WQBR_TX"),
    ro(0x2FA8, 0, "LVMMC_RX"),
    ro(0x8108, 0, "LVMMC_TX"),
    // Flow director (8.2.3.21).
    rw(at::FDIRCTRL, 0xFF1F_FFB3, "FDIRCTRL"),
    row(0xEE0C, 4, 3, Rw, !0, "FDIRSIPV6"),
    rw(at::FDIRIPSA, !0, "FDIRIPSA"),
    rw(at::FDIRIPDA, !0, "FDIRIPDA"),
    rw(at::FDIRPORT, !0, "FDIRPORT"),
    rw(at::FDIRVLAN, !0, "FDIRVLAN"),
    rw(at::FDIRHASH, !0, "FDIRHASH"),
    rw(at::FDIRCMD, 0x3F7F_FFFF, "FDIRCMD"),
    rws(at::FDIRFREE, !0, 0x8000, "FDIRFREE"),
    rw(at::FDIRDIP4M, !0, "FDIRDIP4M"),
    rw(at::FDIRSIP4M, !0, "FDIRSIP4M"),
    rw(at::FDIRTCPM, !0, "FDIRTCPM"),
    rw(at::FDIRUDPM, !0, "FDIRUDPM"),
    rc(0xEE4C, "FDIRLEN"),
    rc(at::FDIRUSTAT, "FDIRUSTAT"),
    rc(at::FDIRFSTAT, "FDIRFSTAT"),
    rc(at::FDIRMATCH, "FDIRMATCH"),
    rc(at::FDIRMISS, "FDIRMISS"),
    rws(at::FDIRHKEY, !0, 0x3DAD_14E2, "FDIRHKEY"),
    rws(at::FDIRSKEY, !0, 0x174D_3614, "FDIRSKEY"),
    rw(at::FDIRM, 0x3F, "FDIRM"),
    rw(0xEE74, !0, "FDIRIP6M"),
    // Transmit DMA (8.2.3.9).
    rws(at::DMATXCTL, 0xFFFF_0009, 0x8100_0000, "DMATXCTL"),
    rws(at::DTXTCPFLGL, 0x0FFF_0FFF, 0x0F76_0FF6, "DTXTCPFLGL"),
    rws(at::DTXTCPFLGH, 0xFFF, 0xF7F, "DTXTCPFLGH"),
    row(0x4950, 4, 8, Rw, 0x3FF, "TXPBTHRESH"),
    rw(0x8100, 0xFFF, "DTXMXSZRQ"),
    rw(at::MTQC, 0xF, "MTQC"),
    rw(0xCB00, 0xFF, "TIPG"),
    row(0xCC00, 4, 8, Rw, 0x000F_FC00, "TXPBSIZE"),
    rw(0xCD10, 0x7, "MNGTXMAP"),
    rw(0xCA00, 0xFF, "LBDRPEN"),
    // DCB and rate limits (8.2.3.10).
    rw(0x2430, 0x7FFF, "RTRPCS"),
    rw(0x4900, 0x0040_0077, "RTTDCS"),
    rw(0xCD00, 0xFFC0_0160, "RTTPCS"),
    rw(0xC800, 0x00FF_FFFF, "RTTUP2TC"),
    row(0x2140, 4, 8, Rw, !0, "RTRPT4C"),
    row(0x2160, 4, 8, Ro, !0, "RTRPT4S"),
    row(0x82E0, 4, 4, Rw, !0, "TXLLQ"),
    row(0x4910, 4, 8, Rw, !0, "RTTDT2C"),
    row(0x4930, 4, 8, Ro, !0, "RTTDT2S"),
    row(0xCD20, 4, 8, Rw, !0, "RTTPT2C"),
    row(0xCD40, 4, 8, Ro, !0, "RTTPT2S"),
    rw(at::RTTDQSEL, 0x7F, "RTTDQSEL"),
    rw(0x4908, !0, "RTTDT1C"),
    ro(0x490C, 0, "RTTDT1S"),
    rw(at::RTTBCNRC, 0x8FFF_FFFF, "RTTBCNRC"),
    rw(at::RTTBCNRM, 0x3FF, "RTTBCNRM"),
    rw(0x498C, !0, "RTTBCNRD"),
    rw(0x4990, 0x100, "RTTDTECC"),
    rw(0x4A90, !0, "RTTBCNTG"),
    rw(0x8B00, !0, "RTTBCNCR"),
    // Security (8.2.3.12): present, no engine behind it.
    rws(0x8800, 0x7, 0, "SECTXCTRL"),
    ro(at::SECTXSTAT, 1, "SECTXSTAT"),
    rws(0x8808, 0x3FF, 0x250, "SECTXBUFFAF"),
    rws(0x8810, 0x0000_1F0F, 0x1001, "SECTXMINIFG"),
    rw(at::SECRXCTRL, 0x3, "SECRXCTRL"),
    ro(at::SECRXSTAT, 1, "SECRXSTAT"),
    row(0x8900, 4, 6, Rw, !0, "IPSTX"),
    row(0x8E00, 4, 13, Rw, !0, "IPSRX"),
    row(0x8A00, 4, 19, Rw, !0, "LSECTX"),
    row(0x8F00, 4, 33, Rw, !0, "LSECRX"),
    // Time stamps (8.2.3.26).
    rw(at::TSYNCRXCTL, 0x1E, "TSYNCRXCTL"),
    rw(at::TSYNCTXCTL, 0x10, "TSYNCTXCTL"),
    ro(at::RXSTMPL, 0, "RXSTMPL"),
    ro(at::RXSTMPH, 0, "RXSTMPH"),
    ro(0x51A0, 0, "RXSATRL"),
    ro(0x51A8, 0, "RXSATRH"),
    rw(at::RXMTRL, !0, "RXMTRL"),
    ro(at::TXSTMPL, 0, "TXSTMPL"),
    ro(at::TXSTMPH, 0, "TXSTMPH"),
    rw(at::SYSTIML, !0, "SYSTIML"),
    rw(at::SYSTIMH, !0, "SYSTIMH"),
    rw(at::TIMINCA, !0, "TIMINCA"),
    rw(0x8C18, !0, "TIMADJL"),
    rw(0x8C1C, !0, "TIMADJH"),
    rw(0x8C20, 0xFFFF, "TSAUXC"),
    row(0x8C24, 4, 6, Rw, !0, "TRGTTIM"),
    row(0x8C3C, 4, 4, Ro, !0, "AUXSTMP"),
    // MAC (8.2.3.22).
    rw(0x4200, !0, "PCS1GCFIG"),
    rw(0x4208, !0, "PCS1GLCTL"),
    ro(0x420C, 0, "PCS1GLSTA"),
    row(0x4218, 4, 4, Rw, 0xFFFF, "PCS1GAN"),
    rws(at::HLREG0, 0x1F57_FFFF, 0x1807_2C03, "HLREG0"),
    ro(0x4244, 0, "HLREG1"),
    rw(0x4248, 0xFFFF, "PAP"),
    rw(0x424C, !0, "MACA"),
    rw(at::MSCA, !0, "MSCA"),
    rw(at::MSRWD, !0, "MSRWD"),
    rws(at::MAXFRS, 0xFFFF_0000, 0x05EE_0000, "MAXFRS"),
    ro(0x4288, 0, "PCSS1"),
    ro(0x428C, 0, "PCSS2"),
    ro(0x4290, 0, "XPCSS"),
    rw(0x4294, 0xFFF, "MFLCN"),
    rw(0x4298, !0, "SERDESC"),
    rw(0x429C, !0, "MACS"),
    rws(at::AUTOC, !0, 0x0000_6000, "AUTOC"),
    ro(at::LINKS, 0, "LINKS"),
    rws(at::AUTOC2, !0, 0x0002_0000, "AUTOC2"),
    rw(0x42AC, !0, "AUTOC3"),
    ro(at::ANLP1, 0x0004_0000, "ANLP1"),
    ro(0x42B4, 0, "ANLP2"),
    rw(0x42D0, 0x1, "MMNGC"),
    ro(0x42D4, 0, "ANLPNP1"),
    ro(0x42D8, 0, "ANLPNP2"),
    rw(0x42E0, !0, "KRPCSFC"),
    ro(0x42E4, 0, "KRPCSS"),
    ro(0x42E8, 0, "FECS1"),
    ro(0x42EC, 0, "FECS2"),
    ro(0x4324, 0x40, "LINKS2"),
    rw(0x4330, !0, "MACC"),
    rw(0x4800, 0x0001_FFFF, "ATLASCTL"),
    // Wake up and management: no firmware, no wake-up.
    rw(0x5800, 0x12, "WUC"),
    rw(0x5808, 0x003F_81FF, "WUFC"),
    row(0x5810, 4, 1, W1c, !0, "WUS"),
    rw(0x5838, 0x0001_000F, "IPAV"),
    row(0x5840, 4, 8, Rw, !0, "IP4AT"),
    row(0x5880, 4, 4, Rw, !0, "IP6AT"),
    ro(0x5900, 0, "WUPL"),
    ro(0x5820, 0, "MANC"),
    row(0x9000, 4, 256, Rw, !0, "FHFT"),
    // FCoE: present, no engine behind it.
    rw(0x5100, 0xFFF, "FCRXCTRL"),
    row(0x5158, 4, 1, Rw, !0, "REOFF"),
    row(0x51F8, 4, 1, Rw, !0, "RSOFF"),
    rw(0x4A94, !0, "TEOFF"),
    rw(0x4A98, !0, "TSOFF"),
    rw(0xED00, 0x1, "FCRECTL"),
    row(0xED10, 4, 8, Rw, 0x7F, "FCRETA"),
    rw(0x2410, !0, "FCPTRL"),
    rw(0x2414, !0, "FCPTRH"),
    rw(0x2418, !0, "FCBUFF"),
    rw(0x2420, !0, "FCDMARW"),
    rw(0x5108, !0, "FCFLT"),
    rw(0x5110, !0, "FCFLTRW"),
    rw(0x51D8, !0, "FCPARAM"),
    // Statistics (8.2.3.23).
    rc(0x4000, "CRCERRS"),
    rc(0x4004, "ILLERRC"),
    rc(0x4008, "ERRBC"),
    rc(0x4010, "MSPDC"),
    rcs(at::MPC, 4, 8, "MPC"),
    rc(0x4034, "MLFC"),
    rc(0x4038, "MRFC"),
    rc(0x4040, "RLEC"),
    rc(0x3F60, "LXONTXC"),
    rc(0xCF60, "LXONRXC"),
    rc(0x3F68, "LXOFFTXC"),
    rc(0xCF68, "LXOFFRXC"),
    rc(0x41A4, "LXONRXCNT"),
    rc(0x41A8, "LXOFFRXCNT"),
    rcs(0x4140, 4, 8, "PXONRXCNT"),
    rcs(0x4160, 4, 8, "PXOFFRXCNT"),
    rcs(0x3240, 4, 8, "PXON2OFFCNT"),
    rcs(0x3F00, 4, 8, "PXONTXC"),
    rcs(0x3F20, 4, 8, "PXOFFTXC"),
    rcs(0xCF00, 4, 8, "PXONRXC"),
    rcs(0xCF20, 4, 8, "PXOFFRXC"),
    rcs(at::PRC64, 4, 6, "PRC"),
    rc(at::GPRC, "GPRC"),
    rc(at::BPRC, "BPRC"),
    rc(at::MPRC, "MPRC"),
    rc(at::GPTC, "GPTC"),
    low(at::GORCL, 4, 1, "GORCL"),
    high(at::GORCL + 4, 4, 1, "GORCH"),
    low(at::GOTCL, 4, 1, "GOTCL"),
    high(at::GOTCL + 4, 4, 1, "GOTCH"),
    rcs(0x3FC0, 4, 8, "RNBC"),
    rc(at::RUC, "RUC"),
    rc(0x40A8, "RFC"),
    rc(at::ROC, "ROC"),
    rc(0x40B0, "RJC"),
    rc(0x40B4, "MNGPRC"),
    rc(0x40B8, "MNGPDC"),
    rc(0xCF90, "MNGPTC"),
    low(at::TORL, 4, 1, "TORL"),
    high(at::TORL + 4, 4, 1, "TORH"),
    rc(at::TPR, "TPR"),
    rc(at::TPT, "TPT"),
    rcs(at::PTC64, 4, 6, "PTC"),
    rc(at::MPTC, "MPTC"),
    rc(at::BPTC, "BPTC"),
    rc(0x4120, "XEC"),
    rc(at::SSVPC, "SSVPC"),
    row(at::RQSMR, 4, 32, Rw, 0x0F0F_0F0F, "RQSMR"),
    row(at::TQSM, 4, 32, Rw, 0x0F0F_0F0F, "TQSM"),
    low(at::QBTC_L, 8, 16, "QBTC_L"),
    high(at::QBTC_L + 4, 8, 16, "QBTC_H"),
    rc(0x5118, "FCCRC"),
    rc(0x241C, "FCOERPDC"),
    rc(0x2424, "FCLAST"),
    rc(0x2428, "FCOEPRC"),
    rc(0x242C, "FCOEDWRC"),
    rc(0x8784, "FCOEPTC"),
    rc(0x8788, "FCOEDWTC"),
    rc(at::RXNFGPC, "RXNFGPC"),
    low(at::RXNFGBCL, 4, 1, "RXNFGBCL"),
    high(at::RXNFGBCL + 4, 4, 1, "RXNFGBCH"),
    rc(at::RXDGPC, "RXDGPC"),
    low(at::RXDGBCL, 4, 1, "RXDGBCL"),
    high(at::RXDGBCL + 4, 4, 1, "RXDGBCH"),
    rc(0x2F5C, "RXDDPC"),
    low(0x2F60, 4, 1, "RXDDBCL"),
    high(0x2F64, 4, 1, "RXDDBCH"),
    rc(at::RXLPBKGPC, "RXLPBKPC"),
    low(at::RXLPBKGBCL, 4, 1, "RXLPBKBCL"),
    high(at::RXLPBKGBCL + 4, 4, 1, "RXLPBKBCH"),
    rc(0x2F74, "RXDLPBKPC"),
    low(0x2F78, 4, 1, "RXDLPBKBCL"),
    high(0x2F7C, 4, 1, "RXDLPBKBCH"),
    rc(at::TXDGPC, "TXDGPC"),
    low(at::TXDGBCL, 4, 1, "TXDGBCL"),
    high(at::TXDGBCL + 4, 4, 1, "TXDGBCH"),
    rw(0x2F40, 0x0011_1111, "RXDSTATCTRL"),
    // Counters of the VFs as the PF sees them; the receive side is in the queues' space.
    row(0x8300, 4, 64, Ro, !0, "PVFGPTC"),
    row(0x8400, 8, 64, Ro, !0, "PVFGOTC_LSB"),
    row(0x8404, 8, 64, Ro, !0, "PVFGOTC_MSB"),
];

/// Which register a dword of the PF's space belongs to.
#[derive(Clone, Debug)]
pub struct Index(Box<[u16]>);

const NONE: u16 = u16::MAX;

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// Builds the index from [`MAP`].
    pub fn new() -> Self {
        let mut index = vec![NONE; (PF_SPACE / 4) as usize].into_boxed_slice();
        for (number, reg) in (0u16..).zip(MAP) {
            for i in 0..reg.count {
                index[((reg.base + i * reg.stride) / 4) as usize] = number;
            }
        }
        Self(index)
    }

    /// The register at a canonical offset.
    pub fn get(&self, offset: u32) -> Option<&'static Reg> {
        let number = *self.0.get((offset / 4) as usize)?;
        MAP.get(usize::from(number))
    }
}

/// The offset at which a register that answers at two is kept.
pub const fn canonical(offset: u32) -> u32 {
    match offset {
        // RAL and RAH 0 to 15, PSRTYPE 0 to 15, SRRCTL and DCA_RXCTRL of queues 0 to 15.
        0x5400..0x5480 => offset - 0x5400 + at::RAL,
        0x5480..0x54C0 => offset - 0x5480 + at::PSRTYPE,
        0x2100..0x2140 => 0x1014 + (offset - 0x2100) * 16,
        0x2200..0x2240 => 0x100C + (offset - 0x2200) * 16,
        _ => offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_registers_share_an_offset() {
        let mut seen = std::collections::BTreeMap::new();
        for reg in MAP {
            for i in 0..reg.count {
                let offset = reg.base + i * reg.stride;
                assert!(
                    offset < PF_SPACE && offset % 4 == 0,
                    "{} at {offset:#x}",
                    reg.name
                );
                let queues = matches!(offset, 0x1000..0x2000 | 0x6000..0x8000 | 0xD000..0xE000);
                assert!(!queues, "{} lies in the queues' space", reg.name);
                assert_eq!(canonical(offset), offset, "{}", reg.name);
                if let Some(other) = seen.insert(offset, reg.name) {
                    panic!("{} and {other} at {offset:#x}", reg.name);
                }
            }
        }
    }

    #[test]
    fn reset_values_are_implemented_bits() {
        for reg in MAP.iter().filter(|reg| reg.class == Class::Rw) {
            assert_eq!(reg.reset & !reg.mask, 0, "{}", reg.name);
        }
    }

    #[test]
    fn aliases_reach_the_same_register() {
        assert_eq!(canonical(0x5400 + 8 * 3 + 4), at::RAL + 8 * 3 + 4);
        assert_eq!(canonical(0x2100 + 4 * 5), 0x1014 + 0x40 * 5);
        let index = Index::new();
        assert_eq!(index.get(at::VMOLR + 4).map(|r| r.name), Some("PFVML2FLT"));
        assert!(index.get(0x0300).is_none());
    }
}
