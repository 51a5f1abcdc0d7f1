// SPDX-License-Identifier: GPL-2.0

//! Headers and checksums, as far as the filters and offloads look (datasheet 7.1.2 and 7.2.4).

/// Tag protocol identifier of a C-VLAN tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
/// PTP over Ethernet.
pub const ETHERTYPE_PTP: u16 = 0x88F7;

/// IP protocol numbers.
pub const TCP: u8 = 6;
/// User datagram protocol.
pub const UDP: u8 = 17;
/// Stream control transmission protocol.
pub const SCTP: u8 = 132;

/// Most IPv6 extension headers that are looked through.
const EXTENSIONS: usize = 8;

/// Where the headers of a frame are. Offsets in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Tag control information of the outer VLAN tag.
    pub vlan: Option<u16>,
    /// EtherType after the tag.
    pub ethertype: u16,
    /// Start of what follows the EtherType.
    pub l3: usize,
    /// Start of the header after IP; 0 unless `ipv4` or `ipv6`.
    pub l4: usize,
    /// Start of the data after the TCP, UDP or SCTP header; 0 if there is none.
    pub data: usize,
    /// End of the IP datagram; 0 unless it lies in the frame.
    pub end: usize,
    /// IPv4 header.
    pub ipv4: bool,
    /// IPv6 header.
    pub ipv6: bool,
    /// IPv4 options or IPv6 extension headers.
    pub extended: bool,
    /// A fragment, the first included.
    pub fragment: bool,
    /// Protocol, if `data` is not 0.
    pub protocol: u8,
}

/// A big-endian 16-bit field; 0 beyond the end.
pub fn be16(frame: &[u8], at: usize) -> u16 {
    match frame.get(at..at + 2) {
        Some(bytes) => u16::from_be_bytes([bytes[0], bytes[1]]),
        None => 0,
    }
}

/// A big-endian 32-bit field; 0 beyond the end.
pub fn be32(frame: &[u8], at: usize) -> u32 {
    u32::from(be16(frame, at)) << 16 | u32::from(be16(frame, at + 2))
}

fn byte(frame: &[u8], at: usize) -> u8 {
    frame.get(at).copied().unwrap_or(0)
}

/// Looks at a frame. `vlan_type` is VLNCTRL.VET.
pub fn parse(frame: &[u8], vlan_type: u16) -> Packet {
    let mut p = Packet {
        ethertype: be16(frame, 12),
        l3: 14,
        ..Packet::default()
    };
    if p.ethertype == vlan_type && frame.len() >= 18 {
        p.vlan = Some(be16(frame, 14));
        p.ethertype = be16(frame, 16);
        p.l3 = 18;
    }
    match p.ethertype {
        ETHERTYPE_IPV4 => parse_ipv4(frame, &mut p),
        ETHERTYPE_IPV6 => parse_ipv6(frame, &mut p),
        _ => {}
    }
    p
}

fn parse_ipv4(frame: &[u8], p: &mut Packet) {
    let first = byte(frame, p.l3);
    let header = usize::from(first & 0xF) * 4;
    if first >> 4 != 4 || header < 20 || p.l3 + header > frame.len() {
        return;
    }
    p.ipv4 = true;
    p.extended = header > 20;
    p.l4 = p.l3 + header;
    let total = usize::from(be16(frame, p.l3 + 2));
    if total >= header && p.l3 + total <= frame.len() {
        p.end = p.l3 + total;
    }
    p.fragment = be16(frame, p.l3 + 6) & 0x3FFF != 0;
    if !p.fragment {
        parse_l4(frame, p, byte(frame, p.l3 + 9));
    }
}

fn parse_ipv6(frame: &[u8], p: &mut Packet) {
    if byte(frame, p.l3) >> 4 != 6 || p.l3 + 40 > frame.len() {
        return;
    }
    p.ipv6 = true;
    let total = usize::from(be16(frame, p.l3 + 4)) + 40;
    if p.l3 + total <= frame.len() {
        p.end = p.l3 + total;
    }
    let mut next = byte(frame, p.l3 + 6);
    p.l4 = p.l3 + 40;
    for _ in 0..EXTENSIONS {
        let length = match next {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => 8 + 8 * usize::from(byte(frame, p.l4 + 1)),
            44 => {
                p.fragment = true;
                8
            }
            _ => break,
        };
        if p.l4 + length > frame.len() {
            return;
        }
        p.extended = true;
        next = byte(frame, p.l4);
        p.l4 += length;
    }
    if !p.fragment {
        parse_l4(frame, p, next);
    }
}

fn parse_l4(frame: &[u8], p: &mut Packet, protocol: u8) {
    let header = match protocol {
        TCP => usize::from(byte(frame, p.l4 + 12) >> 4) * 4,
        UDP => 8,
        SCTP => 12,
        _ => return,
    };
    if protocol == TCP && header < 20 || p.l4 + header > frame.len() {
        return;
    }
    p.protocol = protocol;
    p.data = p.l4 + header;
}

/// Adds bytes to an Internet checksum (RFC 1071). `sum` is 0 or the result of an earlier call over an
/// even number of bytes.
pub fn sum(mut sum: u64, data: &[u8]) -> u64 {
    let mut chunks = data.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
        sum += (word & 0xFFFF_FFFF) + (word >> 32);
    }
    let rest = chunks.remainder();
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    let word = u64::from_le_bytes(last);
    sum + (word & 0xFFFF_FFFF) + (word >> 32)
}

/// Adds a 16-bit value as it would stand in the packet.
pub fn sum_word(sum: u64, value: u16) -> u64 {
    sum + u64::from(value.swap_bytes())
}

/// The checksum field for a sum.
pub fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16).swap_bytes()
}

/// Sum of the pseudo header of the datagram at `p`, for `length` bytes of payload.
pub fn pseudo(frame: &[u8], p: &Packet, protocol: u8, length: usize) -> u64 {
    let addresses = if p.ipv4 {
        p.l3 + 12..p.l3 + 20
    } else {
        p.l3 + 8..p.l3 + 40
    };
    let start = sum(0, frame.get(addresses).unwrap_or(&[]));
    sum_word(sum_word(start, length as u16), u16::from(protocol))
}

/// Whether the IPv4 header checksum is right.
pub fn ipv4_good(frame: &[u8], p: &Packet) -> bool {
    fold(sum(0, frame.get(p.l3..p.l4).unwrap_or(&[]))) == 0
}

/// Whether the TCP or UDP checksum is right; `None` if there is none to check.
pub fn l4_good(frame: &[u8], p: &Packet) -> Option<bool> {
    if p.data == 0 || p.end < p.data {
        return None;
    }
    let segment = frame.get(p.l4..p.end)?;
    match p.protocol {
        SCTP => {
            if segment.len() < 12 {
                return None;
            }
            let field = u32::from_le_bytes([segment[8], segment[9], segment[10], segment[11]]);
            Some(sctp(segment) == field)
        }
        UDP if be16(frame, p.l4 + 6) == 0 => None,
        _ => Some(fold(sum(pseudo(frame, p, p.protocol, segment.len()), segment)) == 0),
    }
}

const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 {
                value >> 1 ^ polynomial
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

static CRC32: [u32; 256] = table(0xEDB8_8320);
static CRC32C: [u32; 256] = table(0x82F6_3B78);

fn crc(table: &[u32; 256], start: u32, data: &[u8]) -> u32 {
    data.iter().fold(start, |crc, byte| {
        table[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    })
}

/// Frame check sequence of Ethernet, over up to two pieces.
pub fn fcs(first: &[u8], second: &[u8]) -> [u8; 4] {
    (!crc(&CRC32, crc(&CRC32, !0, first), second)).to_le_bytes()
}

/// Checksum of an SCTP packet, its own field taken as 0.
pub fn sctp(packet: &[u8]) -> u32 {
    let start = crc(&CRC32C, !0, packet.get(..8).unwrap_or(&[]));
    let start = crc(&CRC32C, start, &[0; 4]);
    !crc(&CRC32C, start, packet.get(12..).unwrap_or(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        // RFC 1071, section 3.
        let data = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        assert_eq!(fold(sum(0, &data)), !0xDDF2);
        assert_eq!(fold(sum(0, &[1, 2, 3])), !(0x0102 + 0x0300));
        assert_eq!(fcs(b"12345", b"6789"), 0xCBF4_3926u32.to_le_bytes());
        assert_eq!(!crc(&CRC32C, !0, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn headers_are_found() {
        let mut frame = vec![0u8; 12];
        frame.extend([0x81, 0x00, 0x20, 0x05, 0x08, 0x00]);
        frame.extend([
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame.extend([
            0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0,
        ]);
        frame.extend([0; 6]);
        let p = parse(&frame, ETHERTYPE_VLAN);
        assert_eq!(
            (p.vlan, p.l3, p.l4, p.data, p.end),
            (Some(0x2005), 18, 38, 58, 58)
        );
        assert!(p.ipv4 && !p.extended && p.protocol == TCP);
        assert!(!ipv4_good(&frame, &p));
    }

    #[test]
    fn any_bytes_are_parsed() {
        let mut seed = 1u32;
        for len in 0..200 {
            let frame: Vec<u8> = (0..len)
                .map(|i| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    match i {
                        12 => 0x86,
                        13 => 0xDD,
                        14 => 0x60,
                        20 => [0, 43, 44, 60, 6][seed as usize % 5],
                        _ => (seed >> 24) as u8,
                    }
                })
                .collect();
            let p = parse(&frame, ETHERTYPE_VLAN);
            assert!(p.l4 <= frame.len() && p.data <= frame.len() && p.end <= frame.len());
            let _ = (ipv4_good(&frame, &p), l4_good(&frame, &p));
        }
    }
}
