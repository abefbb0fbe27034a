//! A byte queue with linear cost that releases unused memory.

/// Capacity that an almost empty queue keeps, in bytes: the initial size of a receive buffer in
/// libvirt (DM-802).
const RETAINED_CAPACITY: usize = 65_536;

/// Initial capacity, in bytes. Most messages fit, and most clients send and receive no longer ones.
const INITIAL_CAPACITY: usize = 56;

/// A byte queue: bytes are appended at the back and consumed at the front.
///
/// Consumed bytes are skipped, and moved away once they are at least as many as the rest. Each byte
/// is moved a bounded number of times, however many messages one write contained. At the same time,
/// capacity above four times the rest is released, so that one large message does not occupy memory
/// for the rest of the connection.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Returns the bytes that are not yet consumed.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Returns the number of bytes that are not yet consumed.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Returns the vector to append to. The caller may only push to its end.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(INITIAL_CAPACITY);
        }
        &mut self.bytes
    }

    /// Removes `count` bytes from the front.
    ///
    /// # Panics
    /// Panics if fewer bytes are left.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "more bytes consumed than buffered");
        self.start += count;
        if self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
            if self.bytes.capacity() > RETAINED_CAPACITY
                && self.bytes.len() <= self.bytes.capacity() / 4
            {
                self.bytes
                    .shrink_to(RETAINED_CAPACITY.max(2 * self.bytes.len()));
            }
        }
    }

    /// Returns the allocated capacity, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consume_in_small_steps_yields_the_bytes_in_order() {
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
            buffer.capacity() <= 2 * RETAINED_CAPACITY,
            "{} bytes are still allocated",
            buffer.capacity()
        );
    }

    #[test]
    fn buffer_allocates_little_with_its_first_byte() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.capacity(), 0);
        buffer.tail().push(1);
        assert_eq!(buffer.capacity(), INITIAL_CAPACITY);
        buffer.tail().extend_from_slice(&[7; INITIAL_CAPACITY]);
        assert!(buffer.capacity() <= 2 * INITIAL_CAPACITY);
    }

    #[test]
    fn consume_keeps_memory_while_much_of_it_is_used() {
        let mut buffer = Buffer::default();
        buffer
            .tail()
            .extend_from_slice(&vec![7; 64 * RETAINED_CAPACITY]);
        let held = buffer.capacity();
        buffer.consume(40 * RETAINED_CAPACITY);
        assert_eq!(
            (buffer.len(), buffer.capacity()),
            (24 * RETAINED_CAPACITY, held)
        );
    }

    #[test]
    fn consume_leaves_room_for_twice_the_rest() {
        let mut buffer = Buffer::default();
        buffer
            .tail()
            .extend_from_slice(&vec![7; 64 * RETAINED_CAPACITY]);
        buffer.consume(62 * RETAINED_CAPACITY);
        assert_eq!(buffer.capacity(), 4 * RETAINED_CAPACITY);
    }
}
