//! Messages cut out of a byte stream, and put into one.

use thiserror::Error;

use super::{Buffer, Decoder, Encoder, Header, MessageType, Oversize, Xdr};

/// The length of the shortest message, in bytes: a length word and a header (DM-801).
pub const MIN_FRAME: u32 = 28;

/// The length of the longest message, in bytes, its length word included (DM-801).
pub const MAX_FRAME: u32 = 33_554_436;

const LENGTH_WORD: usize = 4;

/// The peer does not speak the protocol: where its next message begins is unknown, so the connection
/// ends without an answer (DM-801).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// The length word is too small for a header.
    #[error("message of {0} bytes is too small, {MIN_FRAME} needed")]
    TooSmall(u32),
    /// The length word is above the limit.
    #[error("message of {length} bytes is too large, {limit} allowed")]
    TooLarge {
        /// The length announced, in bytes.
        length: u32,
        /// The limit in force, in bytes.
        limit: u32,
    },
    /// A call with file descriptors does not say how many.
    #[error("number of file descriptors is missing")]
    NoDescriptorCount,
    /// A call brings file descriptors; none are taken, and what follows in the stream is not a message.
    #[error("{0} file descriptors sent, none allowed")]
    Descriptors(u32),
}

/// A complete message, borrowed from the bytes received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header as sent.
    pub header: Header,
    /// What follows the header; of a call with descriptors, what follows their count (which is 0).
    pub payload: &'a [u8],
}

/// Cuts a byte stream into messages, however the bytes arrive.
///
/// The work is linear in the bytes, for one byte at a time as for many messages in one write. The memory
/// follows the bytes that arrived and is given back after a large message; a length is only ever compared.
///
/// ```
/// use eventryd::wire::{FrameSplitter, MAX_FRAME, Violation};
///
/// let mut splitter = FrameSplitter::new(MAX_FRAME);
/// splitter.push(&[0, 0, 0]);
/// assert_eq!(splitter.head(), Ok(None));
/// splitter.push(&[27]);
/// assert_eq!(splitter.head(), Err(Violation::TooSmall(27)));
/// ```
#[derive(Debug)]
pub struct FrameSplitter {
    buffer: Buffer,
    limit: u32,
}

impl FrameSplitter {
    /// A splitter that refuses messages above `limit` bytes, or [`MAX_FRAME`] if that is smaller.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: Buffer::default(),
            limit: limit.min(MAX_FRAME),
        }
    }

    /// Changes the limit for the messages that are not complete yet (DM-803).
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.min(MAX_FRAME);
    }

    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.tail().extend_from_slice(bytes);
    }

    /// The first message, if it is complete. It stays the first until [`consume`](Self::consume).
    ///
    /// # Errors
    /// A [`Violation`] if no message begins here; so it is from then on.
    pub fn head(&self) -> Result<Option<Frame<'_>>, Violation> {
        let bytes = self.buffer.as_slice();
        let Some(length) = self.head_len()? else {
            return Ok(None);
        };
        let Some(message) = bytes.get(LENGTH_WORD..length) else {
            return Ok(None);
        };
        let mut decoder = Decoder::new(message);
        let (Ok(header), payload) = (Header::decode(&mut decoder), &message[Header::MIN_LEN..])
        else {
            unreachable!("a header has a fixed size, which the length word allows for");
        };
        if header.kind == MessageType::CallWithFds {
            return match decoder.u32() {
                Ok(0) => Ok(Some(Frame {
                    header,
                    payload: &payload[size_of::<u32>()..],
                })),
                Ok(count) => Err(Violation::Descriptors(count)),
                Err(_) => Err(Violation::NoDescriptorCount),
            };
        }
        Ok(Some(Frame { header, payload }))
    }

    /// Drops the first message.
    ///
    /// # Panics
    /// If [`head`](Self::head) has none.
    pub fn consume(&mut self) {
        let Ok(Some(length)) = self.head_len() else {
            panic!("there is no message to consume");
        };
        self.buffer.consume(length);
    }

    /// Drops everything received.
    pub fn clear(&mut self) {
        self.buffer.consume(self.buffer.len());
    }

    /// How many bytes wait to be consumed.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The checked length of the first message, its length word included, once that word is there.
    fn head_len(&self) -> Result<Option<usize>, Violation> {
        let Some(word) = self.buffer.as_slice().first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*word);
        if length < MIN_FRAME {
            return Err(Violation::TooSmall(length));
        }
        if length > self.limit {
            return Err(Violation::TooLarge {
                length,
                limit: self.limit,
            });
        }
        // At most MAX_FRAME, which any platform with an event loop can index.
        Ok(Some(length as usize))
    }
}

/// Appends a message to `out`: its length, `header`, and what `payload` writes.
///
/// # Errors
/// [`Oversize`] if a value or the whole is longer than the protocol allows; `out` is then unchanged.
///
/// ```
/// use eventryd::wire::{Header, write_message};
///
/// let mut out = Vec::new();
/// write_message(&mut out, Header::pong(), |_| {})?;
/// assert_eq!(out.len(), 28);
/// assert_eq!(out[..8], *b"\0\0\0\x1ckeep");
/// # Ok::<(), eventryd::wire::Oversize>(())
/// ```
pub fn write_message(
    out: &mut Vec<u8>,
    header: Header,
    payload: impl FnOnce(&mut Encoder<'_>),
) -> Result<(), Oversize> {
    let start = out.len();
    let mut encoder = Encoder::new(out);
    encoder.u32(0);
    header.encode(&mut encoder);
    payload(&mut encoder);
    let finished = encoder.finish();
    match u32::try_from(out.len() - start) {
        Ok(length) if finished.is_ok() && length <= MAX_FRAME => {
            out[start..start + LENGTH_WORD].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(Oversize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Program, Status};

    fn message(kind: MessageType, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            ..Header::pong()
        };
        let mut out = Vec::new();
        write_message(&mut out, header, |to| {
            payload.iter().for_each(|&b| to.u32(b.into()))
        })
        .expect("a small message");
        out
    }

    #[test]
    fn head_fails_on_a_bad_length_word_alone() {
        for length in [0, 3, 4, 5, 8, 27] {
            let mut splitter = FrameSplitter::new(MAX_FRAME);
            splitter.push(&u32::to_be_bytes(length));
            assert_eq!(splitter.head(), Err(Violation::TooSmall(length)));
        }
        for length in [33_554_437, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let mut splitter = FrameSplitter::new(u32::MAX);
            splitter.push(&u32::to_be_bytes(length));
            let expected = Violation::TooLarge {
                length,
                limit: MAX_FRAME,
            };
            assert_eq!(splitter.head(), Err(expected));
        }
        for length in [28, 4_194_304, 33_554_436] {
            let mut splitter = FrameSplitter::new(MAX_FRAME);
            splitter.push(&u32::to_be_bytes(length));
            assert_eq!(splitter.head(), Ok(None));
        }
    }

    #[test]
    fn the_limit_of_the_caller_is_exact() {
        let mut splitter = FrameSplitter::new(1_000);
        splitter.push(&u32::to_be_bytes(1_001));
        assert_eq!(
            splitter.head(),
            Err(Violation::TooLarge {
                length: 1_001,
                limit: 1_000
            })
        );
        splitter.set_limit(1_001);
        assert_eq!(splitter.head(), Ok(None));
    }

    #[test]
    fn largest_message_arrives_and_its_memory_is_released() {
        let mut bytes = MAX_FRAME.to_be_bytes().to_vec();
        Header::pong().encode(&mut Encoder::new(&mut bytes));
        bytes.resize(MAX_FRAME as usize, 0x55);
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        for chunk in bytes.chunks(65_536) {
            assert_eq!(splitter.head(), Ok(None));
            splitter.push(chunk);
            assert!(splitter.buffer.capacity() <= (2 * splitter.buffered()).max(131_072));
        }
        assert_eq!(splitter.head().unwrap().unwrap().payload.len(), 33_554_408);
        splitter.consume();
        assert!(splitter.buffer.capacity() <= 131_072);
    }

    #[test]
    fn many_messages_in_one_write_come_out_one_by_one() {
        let mut bytes = Vec::new();
        for size in 0..200_u8 {
            bytes.extend(message(MessageType::Message, &vec![size; size.into()]));
        }
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(&bytes);
        for size in 0..200_usize {
            assert_eq!(splitter.head().unwrap().unwrap().payload.len(), 4 * size);
            splitter.consume();
        }
        assert_eq!(splitter.head(), Ok(None));
        assert_eq!(splitter.buffered(), 0);
    }

    #[test]
    fn a_call_with_descriptors_is_taken_only_without_any() {
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(&message(MessageType::CallWithFds, &[0, 9]));
        assert_eq!(splitter.head().unwrap().unwrap().payload, [0, 0, 0, 9]);
        for (payload, expected) in [
            (&[1, 9][..], Violation::Descriptors(1)),
            (&[33], Violation::Descriptors(33)),
            (&[], Violation::NoDescriptorCount),
        ] {
            let mut splitter = FrameSplitter::new(MAX_FRAME);
            splitter.push(&message(MessageType::CallWithFds, payload));
            assert_eq!(splitter.head(), Err(expected));
        }
    }

    #[test]
    fn a_message_above_the_maximum_is_not_written() {
        let header = Header::pong().reply(Status::Ok);
        assert_eq!(header.program, Program::Keepalive.number());
        let words = (MAX_FRAME - MIN_FRAME) / 4;
        for (words, fits) in [(words, true), (words + 1, false)] {
            let mut out = vec![1, 2, 3];
            let result = write_message(&mut out, header, |to| (0..words).for_each(|w| to.u32(w)));
            assert_eq!(result.is_ok(), fits);
            assert_eq!(out.len(), if fits { 3 + MAX_FRAME as usize } else { 3 });
        }
    }

    #[test]
    fn what_is_cleared_is_gone_and_so_is_its_memory() {
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(&MAX_FRAME.to_be_bytes());
        splitter.push(&vec![0x55; 8 << 20]);
        splitter.clear();
        assert_eq!((splitter.buffered(), splitter.head()), (0, Ok(None)));
        assert!(splitter.buffer.capacity() <= 65_536);
    }
}
