//! The wire protocol of libvirt: framing, header, XDR and the procedure tables.
