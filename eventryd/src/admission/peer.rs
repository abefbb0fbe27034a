//! The unit by which client slots are distributed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Origin of a client. Network clients have limits of their own, so that they cannot keep local clients out
/// (DM-603).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This machine.
    Local = 0,
    /// A network.
    Network = 1,
}

/// The unit by which client slots are distributed: an identity that an attacker cannot obtain in large numbers
/// without cost.
///
/// ```
/// use eventryd::admission::Peer;
///
/// let at = |text: &str| Peer::at(text.parse().unwrap());
/// // A subscriber has all addresses of such a network.
/// assert_eq!(at("2001:db8::1"), at("2001:db8::2:1"));
/// assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
/// assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
/// assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A user of this machine; `None` for all users that the kernel does not report.
    User(Option<u32>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: the subscriber chooses the rest.
    V6(u64),
    /// A network peer that was gone before its address could be read.
    Unknown,
}

impl Peer {
    /// Returns the peer at this address.
    #[must_use]
    pub const fn at(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V4(address) => Peer::V4(address),
            IpAddr::V6(address) => Peer::V6((address.to_bits() >> 64) as u64),
        }
    }

    /// Returns the scope of the peer.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Peer::User(_) => Scope::Local,
            Peer::V4(_) | Peer::V6(_) | Peer::Unknown => Scope::Network,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::User(Some(uid)) => write!(f, "uid {uid}"),
            Peer::User(None) => f.write_str("an unknown user"),
            Peer::V4(address) => write!(f, "address {address}"),
            Peer::V6(prefix) => {
                let network = Ipv6Addr::from_bits(u128::from(*prefix) << 64);
                write!(f, "network {network}/64")
            }
            Peer::Unknown => f.write_str("an unknown address"),
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
        assert_eq!(Peer::User(None).scope(), Scope::Local);
        for peer in [Peer::at("::1".parse().unwrap()), Peer::Unknown] {
            assert_eq!(peer.scope(), Scope::Network);
        }
    }
}
