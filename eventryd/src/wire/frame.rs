//! Framing: the boundaries of messages in a byte stream.

use thiserror::Error;

use super::{Buffer, Decoder, EncodeError, Encoder, Header, MessageType, Xdr};

/// Minimum length of a message, in bytes: length word and header (DM-801).
pub const MIN_FRAME: u32 = 28;

/// Maximum length of a message, in bytes, including the length word (DM-801).
pub const MAX_FRAME: u32 = 33_554_436;

const LENGTH_WORD: usize = 4;

/// A violation of the framing. The start of the next message is unknown, so the connection is
/// closed without a reply (DM-801).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length word is too small for a header.
    #[error("message of {0} bytes is too small, {MIN_FRAME} needed")]
    TooSmall(u32),
    /// The length word exceeds the limit.
    #[error("message of {length} bytes is too large, {limit} allowed")]
    TooLarge {
        /// The announced length, in bytes.
        length: u32,
        /// The current limit, in bytes.
        limit: u32,
    },
    /// A call with file descriptors lacks their count.
    #[error("number of file descriptors is missing")]
    NoDescriptorCount,
    /// A call is accompanied by file descriptors. The daemon accepts none, and cannot find the next
    /// message after them.
    #[error("{0} file descriptors sent, none allowed")]
    Descriptors(u32),
}

/// A complete message, borrowed from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header, unchecked.
    pub header: Header,
    /// The bytes after the header. In a call with file descriptors, the bytes after their count,
    /// which is 0.
    pub payload: &'a [u8],
}

/// A splitter of a byte stream into messages, for input in pieces of any size.
///
/// The cost is linear in the number of bytes, both for single bytes and for many messages in one
/// write. Memory is allocated only for bytes that have arrived, and is released after a large
/// message.
///
/// ```
/// use eventryd::wire::{FrameSplitter, MAX_FRAME, FrameError};
///
/// let mut splitter = FrameSplitter::new(MAX_FRAME);
/// splitter.push(&[0, 0, 0]);
/// assert_eq!(splitter.head(), Ok(None));
/// splitter.push(&[27]);
/// assert_eq!(splitter.head(), Err(FrameError::TooSmall(27)));
/// ```
#[derive(Debug)]
pub struct FrameSplitter {
    buffer: Buffer,
    limit: u32,
}

impl FrameSplitter {
    /// Creates a splitter that rejects messages longer than `limit` or [`MAX_FRAME`], whichever is
    /// smaller.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: Buffer::default(),
            limit: limit.min(MAX_FRAME),
        }
    }

    /// Changes the limit for messages that are not complete yet (DM-803).
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.min(MAX_FRAME);
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.tail().extend_from_slice(bytes);
    }

    /// Returns the first message if it is complete. It stays first until
    /// [`consume`](Self::consume).
    ///
    /// # Errors
    /// [`FrameError`] if the first bytes are not a valid message. Every later call returns the same
    /// error.
    pub fn head(&self) -> Result<Option<Frame<'_>>, FrameError> {
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
                Ok(count) => Err(FrameError::Descriptors(count)),
                Err(_) => Err(FrameError::NoDescriptorCount),
            };
        }
        Ok(Some(Frame { header, payload }))
    }

    /// Removes the first message.
    ///
    /// # Panics
    /// Panics if [`head`](Self::head) returns no message.
    pub fn consume(&mut self) {
        let Ok(Some(length)) = self.head_len() else {
            panic!("there is no message to consume");
        };
        self.buffer.consume(length);
    }

    /// Removes all received bytes.
    pub fn clear(&mut self) {
        self.buffer.consume(self.buffer.len());
    }

    /// Returns the number of bytes not yet consumed.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the checked length of the first message, including the length word; `None` if that
    /// word is not complete.
    fn head_len(&self) -> Result<Option<usize>, FrameError> {
        let Some(word) = self.buffer.as_slice().first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*word);
        if length < MIN_FRAME {
            return Err(FrameError::TooSmall(length));
        }
        if length > self.limit {
            return Err(FrameError::TooLarge {
                length,
                limit: self.limit,
            });
        }
        // The length is at most MAX_FRAME, which fits into `usize` on every supported platform.
        Ok(Some(length as usize))
    }
}

/// Appends a message to `out`: the length, `header`, and the output of `payload`.
///
/// # Errors
/// [`EncodeError`] if a value or the message exceeds the maximum of the protocol. `out` is
/// unchanged then.
///
/// ```
/// use eventryd::wire::{Header, write_message};
///
/// let mut out = Vec::new();
/// write_message(&mut out, Header::pong(), |_| {})?;
/// assert_eq!(out.len(), 28);
/// assert_eq!(out[..8], *b"\0\0\0\x1ckeep");
/// # Ok::<(), eventryd::wire::EncodeError>(())
/// ```
pub fn write_message(
    out: &mut Vec<u8>,
    header: Header,
    payload: impl FnOnce(&mut Encoder<'_>),
) -> Result<(), EncodeError> {
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
            Err(EncodeError)
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
            assert_eq!(splitter.head(), Err(FrameError::TooSmall(length)));
        }
        for length in [33_554_437, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let mut splitter = FrameSplitter::new(u32::MAX);
            splitter.push(&u32::to_be_bytes(length));
            let expected = FrameError::TooLarge {
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
    fn set_limit_is_exact() {
        let mut splitter = FrameSplitter::new(1_000);
        splitter.push(&u32::to_be_bytes(1_001));
        assert_eq!(
            splitter.head(),
            Err(FrameError::TooLarge {
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
    fn messages_of_one_push_come_out_one_by_one() {
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
    fn call_with_fds_is_accepted_only_with_count_zero() {
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(&message(MessageType::CallWithFds, &[0, 9]));
        assert_eq!(splitter.head().unwrap().unwrap().payload, [0, 0, 0, 9]);
        for (payload, expected) in [
            (&[1, 9][..], FrameError::Descriptors(1)),
            (&[33], FrameError::Descriptors(33)),
            (&[], FrameError::NoDescriptorCount),
        ] {
            let mut splitter = FrameSplitter::new(MAX_FRAME);
            splitter.push(&message(MessageType::CallWithFds, payload));
            assert_eq!(splitter.head(), Err(expected));
        }
    }

    #[test]
    fn write_message_above_the_maximum_writes_nothing() {
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
    fn clear_drops_bytes_and_memory() {
        let mut splitter = FrameSplitter::new(MAX_FRAME);
        splitter.push(&MAX_FRAME.to_be_bytes());
        splitter.push(&vec![0x55; 8 << 20]);
        splitter.clear();
        assert_eq!((splitter.buffered(), splitter.head()), (0, Ok(None)));
        assert!(splitter.buffer.capacity() <= 65_536);
    }
}
