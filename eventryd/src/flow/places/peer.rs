//! Who counts as one when places are shared out.

use crate::flow::Reach;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who counts as one: what it costs something to have more than one of.
///
/// ```
/// use eventryd::flow::Peer;
///
/// let at = |text: &str| Peer::at(text.parse().unwrap());
/// // Whoever has one address of such a network has them all.
/// assert_eq!(at("2001:db8::1"), at("2001:db8::2:1"));
/// assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
/// assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
/// assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A user of this machine; `None` for all of whom the system does not say who they are.
    User(Option<u32>),
    /// An address of IPv4.
    V4(Ipv4Addr),
    /// The first 64 bits of an address of IPv6: the rest is the subscriber's to choose.
    V6(u64),
    /// On a network, and gone before its address was asked for.
    Nowhere,
}

impl Peer {
    /// Who is at this address.
    #[must_use]
    pub const fn at(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V4(address) => Peer::V4(address),
            IpAddr::V6(address) => Peer::V6((address.to_bits() >> 64) as u64),
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn reach(self) -> Reach {
        match self {
            Peer::User(_) => Reach::Local,
            Peer::V4(_) | Peer::V6(_) | Peer::Nowhere => Reach::Network,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::User(Some(uid)) => write!(f, "uid {uid}"),
            Peer::User(None) => f.write_str("a user nobody knows"),
            Peer::V4(address) => write!(f, "address {address}"),
            Peer::V6(prefix) => {
                let network = Ipv6Addr::from_bits(u128::from(*prefix) << 64);
                write!(f, "network {network}/64")
            }
            Peer::Nowhere => f.write_str("an address nobody knows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_user_an_address_or_a_network_of_64_bits() {
        let shown = |text: &str| Peer::at(text.parse().unwrap()).to_string();
        assert_eq!(shown("127.0.0.2"), "address 127.0.0.2");
        assert_eq!(shown("2001:db8:1:2:3:4:5:6"), "network 2001:db8:1:2::/64");
        assert_eq!(Peer::User(Some(7)).to_string(), "uid 7");
        assert_eq!(Peer::User(None).reach(), Reach::Local);
        for peer in [Peer::at("::1".parse().unwrap()), Peer::Nowhere] {
            assert_eq!(peer.reach(), Reach::Network);
        }
    }
}
