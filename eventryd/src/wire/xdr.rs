//! The trait of values with an XDR encoding, and the macro that declares structures.

use uuid::Uuid;

use super::{DecodeError, Decoder, Encoder};

/// A value with an XDR encoding.
///
/// ```
/// use eventryd::wire::{Decoder, WireString, Xdr};
///
/// // Any flag word except 0 means that the optional value follows.
/// let mut decoder = Decoder::new(b"\x01\0\0\0\0\0\0\x01a\0\0\0");
/// assert_eq!(Option::<WireString>::decode(&mut decoder)?, Some("a".into()));
/// # Ok::<(), eventryd::wire::DecodeError>(())
/// ```
pub trait Xdr: Sized {
    /// Minimum length of an encoding, in bytes. The count of an array is checked against it.
    const MIN_LEN: usize;

    /// Reads a value.
    ///
    /// # Errors
    /// [`DecodeError`] if the remaining bytes do not start with a valid encoding.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// Appends the value.
    fn encode(&self, to: &mut Encoder<'_>);
}

/// No value: the arguments or the result of a call without any.
impl Xdr for () {
    const MIN_LEN: usize = 0;

    fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn encode(&self, _: &mut Encoder<'_>) {}
}

macro_rules! xdr_integers {
    ($($integer:ident),+) => {$(
        impl Xdr for $integer {
            const MIN_LEN: usize = size_of::<$integer>();

            fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                from.$integer()
            }

            fn encode(&self, to: &mut Encoder<'_>) {
                to.$integer(*self);
            }
        }
    )+};
}

xdr_integers!(u32, i32, u64);

/// A UUID is encoded as 16 bytes without a length.
impl Xdr for Uuid {
    const MIN_LEN: usize = 16;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.bytes().map(Uuid::from_bytes)
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        to.bytes(*self.as_bytes());
    }
}

impl<T: Xdr> Xdr for Box<T> {
    const MIN_LEN: usize = T::MIN_LEN;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::decode(from).map(Box::new)
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        T::encode(self, to);
    }
}

/// An optional value is encoded as a flag word and, if that is not 0, the value. Some clients send
/// other flags than 0 and 1.
impl<T: Xdr> Xdr for Option<T> {
    const MIN_LEN: usize = 4;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match from.u32()? {
            0 => Ok(None),
            _ => T::decode(from).map(Some),
        }
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        to.u32(u32::from(self.is_some()));
        if let Some(value) = self {
            value.encode(to);
        }
    }
}

/// A counted array of at most `MAX` items.
///
/// Decoding fails above the maximum. Encoding ends in [`EncodeError`](super::EncodeError) then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> From<Vec<T>> for Array<T, MAX> {
    fn from(items: Vec<T>) -> Self {
        Self(items)
    }
}

impl<T: Xdr, const MAX: usize> Xdr for Array<T, MAX> {
    const MIN_LEN: usize = 4;

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = from.count(MAX, T::MIN_LEN)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(T::decode(from)?);
        }
        Ok(Self(items))
    }

    fn encode(&self, to: &mut Encoder<'_>) {
        if to.count(self.0.len(), MAX) {
            self.0.iter().for_each(|item| item.encode(to));
        }
    }
}

/// Declares structures that are encoded as their fields in order.
macro_rules! xdr_struct {
    ($(
        $(#[$meta:meta])*
        $name:ident { $( $(#[$field_meta:meta])* $field:ident: $type:ty, )+ }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )+ }

        impl $crate::wire::Xdr for $name {
            const MIN_LEN: usize = 0 $( + <$type as $crate::wire::Xdr>::MIN_LEN )+;

            fn decode(
                from: &mut $crate::wire::Decoder<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $( $field: <$type as $crate::wire::Xdr>::decode(from)?, )+ })
            }

            fn encode(&self, to: &mut $crate::wire::Encoder<'_>) {
                $( <$type as $crate::wire::Xdr>::encode(&self.$field, to); )+
            }
        }
    )+};
}
pub(super) use xdr_struct;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_is_some_for_any_nonzero_flag_word() {
        for flag in [1_u32, 2, 0x0100_0000, u32::MAX] {
            let mut payload = flag.to_be_bytes().to_vec();
            payload.extend(5_u32.to_be_bytes());
            assert_eq!(
                Option::<u32>::decode(&mut Decoder::new(&payload)),
                Ok(Some(5))
            );
        }
        assert_eq!(Option::<u32>::decode(&mut Decoder::new(&[0; 4])), Ok(None));
    }

    #[test]
    fn array_above_maximum_fails_to_decode_and_encode() {
        let items = Array::<u32, 3>(vec![1, 2, 3, 4]);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        items.encode(&mut encoder);
        assert!(encoder.finish().is_err());

        let payload = [4_u32, 1, 2, 3, 4].map(u32::to_be_bytes).concat();
        let expected = DecodeError::TooLong { length: 4, max: 3 };
        assert_eq!(
            Array::<u32, 3>::decode(&mut Decoder::new(&payload)),
            Err(expected)
        );
        assert_eq!(
            Array::<u32, 4>::decode(&mut Decoder::new(&payload)),
            Ok(Array(items.0))
        );
    }
}
