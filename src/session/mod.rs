//! One client as a pure value: bytes and `now` in, bytes and calls out.
