//! A byte queue that costs linear time and gives its memory back.

/// The memory a queue keeps when it has little to hold, in bytes: the size of a first receive buffer in
/// libvirt (DM-802).
const RETAINED: usize = 65_536;

/// The room a queue begins with, in bytes: for most messages, and not for much more, as most clients send
/// and receive no others.
const SHORT: usize = 56;

/// Bytes that are appended at the back and consumed at the front.
///
/// Consumed bytes are skipped, and moved away only once they are at least as many as the rest: each byte
/// is moved a bounded number of times, however many messages one write held. Memory above four times the
/// need is released then, so that one large message does not cost its size for the client's whole life.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The bytes not yet consumed.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// How many bytes are not yet consumed.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Where to append: the caller may only push to the end of this vector.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(SHORT);
        }
        &mut self.bytes
    }

    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    /// If fewer bytes are left.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "more bytes consumed than there are");
        self.start += count;
        if self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
            if self.bytes.capacity() > RETAINED && self.bytes.len() <= self.bytes.capacity() / 4 {
                self.bytes.shrink_to(RETAINED.max(2 * self.bytes.len()));
            }
        }
    }

    /// The memory held, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consuming_in_small_steps_yields_the_bytes_in_order() {
        let mut buffer = Buffer::default();
        let input: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut output = Vec::new();
        for chunk in input.chunks(37) {
            buffer.tail().extend_from_slice(chunk);
            let step = buffer.len().min(29);
            output.extend_from_slice(&buffer.as_slice()[..step]);
            buffer.consume(step);
        }
        output.extend_from_slice(buffer.as_slice());
        assert_eq!(output, input);
    }

    #[test]
    fn consume_releases_memory_of_a_large_message() {
        let mut buffer = Buffer::default();
        buffer.tail().extend_from_slice(&vec![7; 8 << 20]);
        assert!(buffer.capacity() >= 8 << 20);
        buffer.consume((8 << 20) - 3);
        assert_eq!(buffer.as_slice(), [7; 3]);
        assert!(
            buffer.capacity() <= 2 * RETAINED,
            "{} bytes are kept",
            buffer.capacity()
        );
    }

    #[test]
    fn buffer_allocates_little_with_its_first_byte() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.capacity(), 0);
        buffer.tail().push(1);
        assert_eq!(buffer.capacity(), SHORT);
        buffer.tail().extend_from_slice(&[7; SHORT]);
        assert!(buffer.capacity() <= 2 * SHORT);
    }

    #[test]
    fn memory_is_kept_while_much_of_it_is_in_use() {
        let mut buffer = Buffer::default();
        buffer.tail().extend_from_slice(&vec![7; 64 * RETAINED]);
        let held = buffer.capacity();
        buffer.consume(40 * RETAINED);
        assert_eq!((buffer.len(), buffer.capacity()), (24 * RETAINED, held));
    }

    #[test]
    fn what_is_released_leaves_room_for_as_much_as_is_left() {
        let mut buffer = Buffer::default();
        buffer.tail().extend_from_slice(&vec![7; 64 * RETAINED]);
        buffer.consume(62 * RETAINED);
        assert_eq!(buffer.capacity(), 4 * RETAINED);
    }
}
