//! The wire protocol of libvirt: framing, header, XDR and the procedure table.
//!
//! This module converts bytes to typed messages and back. It performs no I/O, reads no clock and
//! takes no lock, so sockets, tests and fuzzers run the same code. Invariant: **memory is allocated
//! only for bytes that have arrived**, never for a length that a peer has announced.
//!
//! The state of calls, the permissions of clients and the effects of calls belong to
//! [`session`](crate::session) and the modules above it.
//!
//! ```
//! use eventryd::wire::{Call, FrameSplitter, Header, MAX_FRAME, write_message};
//!
//! // A client requests the host name, and its bytes arrive one at a time.
//! let call = Call::ConnectGetHostname(());
//! let mut bytes = Vec::new();
//! write_message(&mut bytes, Header::call(call.procedure(), 7), |to| call.encode(to))?;
//!
//! let mut splitter = FrameSplitter::new(MAX_FRAME);
//! for byte in bytes {
//!     splitter.push(&[byte]);
//! }
//! let frame = splitter.head()?.expect("the frame is complete");
//! assert_eq!(frame.header.serial, 7);
//! assert_eq!(Call::decode(frame.header.procedure, frame.payload)?, call);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buffer;
mod decode;
mod encode;
mod error;
mod frame;
mod header;
mod procedure;
mod text;
mod types;
mod xdr;

pub(crate) use buffer::Buffer;
pub use decode::{DecodeError, Decoder, STRING_MAX};
pub use encode::{EncodeError, Encoder};
pub use error::{ErrorCode, ErrorDomain, RemoteError};
pub use frame::{Frame, FrameError, FrameSplitter, MAX_FRAME, MIN_FRAME, write_message};
pub use header::{Header, MessageType, Program, Status};
pub use procedure::{Call, CallError, PROCEDURES, Permission, Priority, Procedure, Reply};
pub use text::{CharArray, FixedCharArray, WireString};
pub use types::*;
use xdr::xdr_struct;
pub use xdr::{Array, Xdr};
